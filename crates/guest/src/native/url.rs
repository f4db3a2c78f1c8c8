//! URLs by the WHATWG standard, UTS #46 included: the `url` crate's getters and setters of the standard's API.

use super::{Arguments, list};
use crate::js::{self, Thrown, Value};
use ::url::{Url, form_urlencoded, quirks};
use alloc::string::String;
use alloc::vec::Vec;

/// The answers of the getters of the class `URL`, in the order that the scripts know.
fn parts(url: &Url) -> Result<Value, Thrown> {
    let (port, origin) = (quirks::port(url), quirks::origin(url));
    list(
        [
            quirks::href(url),
            quirks::protocol(url),
            quirks::username(url),
            quirks::password(url),
            quirks::host(url),
            quirks::hostname(url),
            port,
            quirks::pathname(url),
            quirks::search(url),
            quirks::hash(url),
            &origin,
        ]
        .into_iter(),
    )
}

/// `url_parse(input, base)`: the parts, or undefined where it is no URL.
pub(super) fn parse(arguments: &Arguments) -> Result<Value, Thrown> {
    let input = arguments.scalars(0)?;
    let parsed = if arguments.value(1).is_undefined() {
        Url::parse(&input)
    } else {
        Url::parse(&arguments.scalars(1)?).and_then(|base| base.join(&input))
    };
    parsed.map_or(Ok(Value::UNDEFINED), |url| parts(&url))
}

/// `url_set(href, part, value)`: the parts, or undefined where the setter refuses.
pub(super) fn set(arguments: &Arguments) -> Result<Value, Thrown> {
    let (href, part, value) = (arguments.scalars(0)?, arguments.scalars(1)?, arguments.scalars(2)?);
    let Ok(mut url) = Url::parse(&href) else { return Err(js::throw("a URL that is none")) };
    let done = match part.as_str() {
        "href" => quirks::set_href(&mut url, &value).map_err(|_| ()),
        "protocol" => quirks::set_protocol(&mut url, &value),
        "username" => quirks::set_username(&mut url, &value),
        "password" => quirks::set_password(&mut url, &value),
        "host" => quirks::set_host(&mut url, &value),
        "hostname" => quirks::set_hostname(&mut url, &value),
        "port" => quirks::set_port(&mut url, &value),
        "pathname" => {
            quirks::set_pathname(&mut url, &value);
            Ok(())
        }
        "search" => {
            quirks::set_search(&mut url, &value);
            Ok(())
        }
        "hash" => {
            quirks::set_hash(&mut url, &value);
            Ok(())
        }
        _ => return Err(js::throw("a part that no URL has")),
    };
    done.map_or(Ok(Value::UNDEFINED), |()| parts(&url))
}

/// `form_parse(text)`: names and values by turns.
pub(super) fn form_parse(arguments: &Arguments) -> Result<Value, Thrown> {
    let text = arguments.scalars(0)?;
    let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).collect();
    list(pairs.iter().flat_map(|(name, value)| [&**name, &**value]))
}

/// `form_serialize(list)`: of names and values by turns.
pub(super) fn form_serialize(arguments: &Arguments) -> Result<Value, Thrown> {
    let pairs = arguments.value(0);
    let mut out = form_urlencoded::Serializer::new(String::new());
    let text = |index| -> Result<String, Thrown> { Ok(super::scalars(&pairs.get_index(index)?.to_text()?)) };
    for index in (0..pairs.length()?).step_by(2) {
        out.append_pair(&text(index)?, &text(index + 1)?);
    }
    Value::text(out.finish().as_bytes())
}
