//! The platform's own formats: text that means something to the platform, checked and written in one way, so that what is compared at
//! run time was put right when it was saved.
//!
//! | format | is | as it is kept |
//! | --- | --- | --- |
//! | `domain-pattern` | a domain, or `*.` and a domain for all below it | A-labels in lower case, no trailing dot |
//! | `cidr` | an IP network; a bare address is a network of one | the network's first address and its prefix, IPv4 for what is mapped into IPv6 |
//! | `redirect-url` | an absolute https URL that a redirect may lead to (http for localhost) | as a browser writes it |
//! | `claim-name` | the name of a claim that is not reserved | as it is |
//! | `https-url` | an absolute https URL without user name, at most 2,048 bytes | as a browser writes it |
//! | `duration` | a time span of up to a year: `90s`, `15m`, `12h`, `7d` | the same, in the largest unit that is exact |
//!
//! No message repeats the text: it may be a secret.

use super::keywords;
use crate::{Invalid, Object, claim, decode::escape, redirect};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde_json::Value;

/// The formats, by name.
pub(super) const NAMES: [&str; 6] = ["domain-pattern", "cidr", "redirect-url", "claim-name", "https-url", "duration"];

/// An `https-url`, in bytes.
const MAX_URL_BYTES: usize = 2_048;
/// A `duration`, in seconds.
const MAX_DURATION_S: u64 = 366 * 86_400;
/// The units of a `duration`, the largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// A text of a format as it is kept. The error says what is wrong, and what is taken.
pub(super) fn normalise(format: &str, text: &str) -> Result<String, String> {
    match format {
        "domain-pattern" => domain_pattern(text),
        "cidr" => cidr(text),
        "redirect-url" => redirect::parse(text).map(String::from),
        "claim-name" => claim::check_name(text).map(|()| text.to_owned()),
        "https-url" => https_url(text),
        "duration" => duration(text),
        _ => Err("is of a format that is not known".to_owned()),
    }
}

/// Writes every text of a format as it is kept, by the schema that it stands under. Mistakes are those that the library does not see:
/// a public suffix in a place where it would take in strangers. Inside `oneOf` and `anyOf` nothing is rewritten: it could fit
/// another form afterwards.
pub(super) fn apply(root: &Object, config: &mut Value) -> Vec<Invalid> {
    let whole = config.clone();
    let mut walk = Walk { root, whole: &whole, found: Vec::new(), wanted: None, texts: Vec::new() };
    walk.value(root, config, "");
    walk.found
}

/// The texts of a format, each with its pointer into the config, by the schema that they stand under.
pub(super) fn texts(root: &Object, config: &Value, format: &str) -> Vec<(String, String)> {
    let (whole, mut config) = (config.clone(), config.clone());
    let mut walk = Walk { root, whole: &whole, found: Vec::new(), wanted: Some(format), texts: Vec::new() };
    walk.value(root, &mut config, "");
    walk.texts
}

struct Walk<'a> {
    root: &'a Object,
    whole: &'a Value,
    found: Vec<Invalid>,
    /// The format whose texts are collected, and they.
    wanted: Option<&'a str>,
    texts: Vec<(String, String)>,
}

impl Walk<'_> {
    fn value(&mut self, schema: &Object, value: &mut Value, pointer: &str) {
        if let Some(target) = keywords::target(self.root, schema) {
            self.value(target, value, pointer);
        }
        match value {
            Value::String(text) => self.text(schema, text, pointer),
            Value::Array(items) => {
                let Some(Value::Object(schema)) = schema.get("items") else { return };
                for (index, item) in items.iter_mut().enumerate() {
                    self.value(schema, item, &format!("{pointer}/{index}"));
                }
            }
            Value::Object(object) => {
                let properties = schema.get("properties").and_then(Value::as_object);
                for (name, inner) in object.iter_mut() {
                    let own = properties.and_then(|properties| properties.get(name));
                    if let Some(Value::Object(schema)) = own.or_else(|| schema.get("additionalProperties")) {
                        self.value(schema, inner, &format!("{pointer}/{}", escape(name)));
                    }
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, schema: &Object, text: &mut String, pointer: &str) {
        let format = schema.get("format").and_then(Value::as_str).filter(|format| NAMES.contains(format));
        // What does not fit is told by the check of the schema.
        let Some(kept) = format.and_then(|format| normalise(format, text).ok()) else { return };
        let field = schema.get(SUBDOMAINS_BY).and_then(Value::as_str);
        let subdomains = field.is_some_and(|field| self.whole.get(field) == Some(&Value::Bool(true)));
        if subdomains && is_public_suffix(&kept) {
            let message = "is a public suffix: everybody's domains are below it, and subdomains count here";
            self.found.push(Invalid::at(pointer, message));
        }
        if format == self.wanted {
            self.texts.push((pointer.to_owned(), kept.clone()));
        }
        *text = kept;
    }
}

/// The hint of a `domain-pattern` that names the boolean of the config which makes each domain stand for all below it as well.
const SUBDOMAINS_BY: &str = "x-subdomains-by";

/// A domain or `*.` and one. UTS #46: non-transitional, UseSTD3ASCIIRules, VerifyDnsLength, hyphens not checked.
fn domain_pattern(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (wildcard, name) = match text.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", text),
    };
    let told = |message: &str| Err(message.to_owned());
    match text {
        "" => return told("expected a domain such as example.com"),
        "*" => return told("would be every domain"),
        _ if text.contains('@') => return told("expected a domain alone, without the part before the @"),
        _ => {}
    }
    let name = name.strip_suffix(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']).unwrap_or(name);
    if is_address(name) {
        return told("expected a domain, not an IP address");
    }
    let ascii = Uts46::new().to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow, DnsLength::Verify);
    let Ok(domain) = ascii else { return told("expected a domain such as example.com, or *.example.com") };
    let domain = domain.to_ascii_lowercase();
    let Some((_, last)) = domain.rsplit_once('.') else {
        return told("expected a domain of at least two labels, such as example.com");
    };
    // By the URL standard such a host is an IPv4 address; no top-level domain is a number.
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return told("expected a domain, not an IP address");
    }
    if !wildcard.is_empty() && is_public_suffix(&domain) {
        return told("is a public suffix: everybody's domains are below it");
    }
    Ok(format!("{wildcard}{domain}"))
}

fn is_address(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().is_ok()
}

/// Whether a domain is one of the ICANN section of the public suffix list, such as `co.uk`. A domain that the list does not know is none.
fn is_public_suffix(domain: &str) -> bool {
    let suffix = psl::suffix(domain.as_bytes());
    suffix.is_some_and(|suffix| suffix.typ() == Some(psl::Type::Icann) && suffix.as_bytes() == domain.as_bytes())
}

/// The first address of a network and its prefix.
fn cidr(text: &str) -> Result<String, String> {
    let expected = || "expected an IP network such as 203.0.113.0/24 or 2001:db8::/32".to_owned();
    let text = text.trim();
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| expected())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits,
        Some(digits) if !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse::<u32>().map_err(|_| expected())?
        }
        Some(_) => return Err(expected()),
    };
    if prefix > bits {
        return Err(format!("a prefix of such an address is 0 to {bits}"));
    }
    Ok(match address {
        IpAddr::V4(address) => v4(address, prefix),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) if prefix >= 96 => v4(mapped, prefix - 96),
            _ => {
                let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                format!("{}/{prefix}", Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        },
    })
}

fn v4(address: Ipv4Addr, prefix: u32) -> String {
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    format!("{}/{prefix}", Ipv4Addr::from_bits(address.to_bits() & mask))
}

fn https_url(text: &str) -> Result<String, String> {
    if text.len() > MAX_URL_BYTES {
        return Err(format!("a URL has at most {MAX_URL_BYTES} bytes"));
    }
    let url = redirect::parse(text)?;
    if url.scheme() != "https" {
        return Err("expected an https URL".to_owned());
    }
    Ok(url.into())
}

fn duration(text: &str) -> Result<String, String> {
    let expected = || "expected a time span such as 90s, 15m, 12h or 7d, of a year at most".to_owned();
    let text = text.trim();
    let unit = text.chars().next_back().and_then(|last| UNITS.iter().find(|(name, _)| *name == last));
    let (name, seconds) = unit.ok_or_else(expected)?;
    let count = text.strip_suffix(*name).filter(|count| count.bytes().all(|byte| byte.is_ascii_digit()));
    let count: u64 = count.and_then(|count| count.parse().ok()).ok_or_else(expected)?;
    let total = count.checked_mul(*seconds).filter(|total| *total <= MAX_DURATION_S).ok_or_else(expected)?;
    let exact = UNITS.iter().find(|(_, unit)| total > 0 && total.is_multiple_of(*unit));
    Ok(exact.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", total / unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConfigSchema;
    use serde_json::json;

    #[test]
    fn each_format_keeps_one_form_of_what_means_the_same() {
        for (format, text, kept) in [
            ("domain-pattern", "example.com", "example.com"),
            ("domain-pattern", " Example.COM. ", "example.com"),
            ("domain-pattern", "BÜCHER.de", "xn--bcher-kva.de"),
            ("domain-pattern", "faß.de", "xn--fa-hia.de"),
            ("domain-pattern", "xn--bcher-kva.de", "xn--bcher-kva.de"),
            ("domain-pattern", "*.Example.com", "*.example.com"),
            ("domain-pattern", "例え。テスト", "xn--r8jz45g.xn--zckzah"),
            ("domain-pattern", "a--b.example.com", "a--b.example.com"),
            ("domain-pattern", "co.uk", "co.uk"),
            ("domain-pattern", "*.example.co.uk", "*.example.co.uk"),
            // Below it are a provider's customers, and the list's ICANN section does not have it.
            ("domain-pattern", "*.github.io", "*.github.io"),
            ("cidr", "203.0.113.9/24", "203.0.113.0/24"),
            ("cidr", "203.0.113.9", "203.0.113.9/32"),
            ("cidr", "0.0.0.0/0", "0.0.0.0/0"),
            ("cidr", "2001:DB8:0:0::1/32", "2001:db8::/32"),
            ("cidr", "::1", "::1/128"),
            ("cidr", "::/0", "::/0"),
            ("cidr", "::ffff:203.0.113.9/120", "203.0.113.0/24"),
            ("redirect-url", "HTTPS://App.Example.com", "https://app.example.com/"),
            ("redirect-url", "http://localhost:3000/x", "http://localhost:3000/x"),
            (
                "https-url",
                "https://bücher.example/a b".replace(' ', "%20").as_str(),
                "https://xn--bcher-kva.example/a%20b",
            ),
            ("claim-name", "https://acme.example/plan", "https://acme.example/plan"),
            ("duration", "90s", "90s"),
            ("duration", "3600s", "1h"),
            ("duration", "48h", "2d"),
            ("duration", "0m", "0s"),
        ] {
            assert_eq!(normalise(format, text).as_deref(), Ok(kept), "{format} {text:?}");
            assert_eq!(normalise(format, kept).as_deref(), Ok(kept), "{format} {kept:?} stays");
        }
    }

    #[test]
    fn what_is_of_no_format_is_refused_without_repeating_it() {
        for (format, text, says) in [
            ("domain-pattern", "", "expected a domain"),
            ("domain-pattern", "*", "every domain"),
            ("domain-pattern", "jane@example.com", "without the part before the @"),
            ("domain-pattern", "example", "at least two labels"),
            ("domain-pattern", "192.0.2.1", "not an IP address"),
            ("domain-pattern", "[2001:db8::1]", "not an IP address"),
            ("domain-pattern", "2001:db8::1", "not an IP address"),
            ("domain-pattern", "1.2.3.4.", "not an IP address"),
            ("domain-pattern", "example.0x1", "not an IP address"),
            ("domain-pattern", "a..b", "expected a domain"),
            ("domain-pattern", ".example.com", "expected a domain"),
            ("domain-pattern", "a_b.example.com", "expected a domain"),
            ("domain-pattern", "a b.example.com", "expected a domain"),
            ("domain-pattern", "https://example.com", "expected a domain"),
            ("domain-pattern", "xn--a.example", "expected a domain"),
            ("domain-pattern", "*.*.example.com", "expected a domain"),
            ("domain-pattern", "*.co.uk", "public suffix"),
            ("domain-pattern", "*.com", "at least two labels"),
            ("cidr", "203.0.113.0/33", "0 to 32"),
            ("cidr", "::/129", "0 to 128"),
            ("cidr", "203.0.113.0/", "expected an IP network"),
            ("cidr", "203.0.113.0/+8", "expected an IP network"),
            ("cidr", "203.0.113/24", "expected an IP network"),
            ("cidr", "203.0.113.0/24/8", "expected an IP network"),
            ("cidr", "fe80::1%eth0/64", "expected an IP network"),
            ("redirect-url", "javascript:alert(1)", "expected an absolute https URL"),
            ("redirect-url", "//evil.example", "expected an absolute https URL"),
            ("redirect-url", "https://a@evil.example/", "no user name"),
            ("redirect-url", "https:\\\\evil.example", "cannot stand in a URL"),
            ("redirect-url", "http://app.example.com/", "expected https"),
            ("https-url", "http://localhost/", "expected an https URL"),
            ("https-url", "ftp://example.com/", "expected an absolute https URL"),
            ("claim-name", "sub", "reserved"),
            ("claim-name", "", ""),
            ("duration", "15", "expected a time span"),
            ("duration", "-1m", "expected a time span"),
            ("duration", "1.5h", "expected a time span"),
            ("duration", "m", "expected a time span"),
            ("duration", "400d", "of a year at most"),
            ("duration", "99999999999999999999s", "expected a time span"),
        ] {
            let refused = normalise(format, text).unwrap_err();
            assert!(refused.contains(says), "{format} {text:?}: {refused}");
        }
        for format in NAMES {
            let refused = normalise(format, "canary_9f3a@\u{0}").unwrap_err();
            assert!(!refused.contains("canary"), "{format}: {refused}");
        }
        assert!(normalise("https-url", &format!("https://a.example/{}", "x".repeat(2_048))).is_err());
    }

    #[test]
    fn a_config_is_kept_as_its_formats_have_it_and_told_by_its_fields() {
        let domain = json!({"type": "string", "format": "domain-pattern", "x-subdomains-by": "include_subdomains"});
        let schema = ConfigSchema::new(json!({
            "type": "object",
            "$defs": {"domain": domain},
            "properties": {
                "domains": {"type": "array", "uniqueItems": true, "items": {"$ref": "#/$defs/domain"}},
                "include_subdomains": {"type": "boolean", "default": false},
                "networks": {"type": "object", "additionalProperties": {"type": "string", "format": "cidr"}},
                "every": {"type": "string", "format": "duration", "default": "1m"},
            },
        }))
        .unwrap();
        let config = json!({"domains": ["BÜCHER.de", "co.uk"], "networks": {"a/b": "10.1.2.3/8"}});
        let kept = schema.normalised(&config).unwrap();
        assert_eq!(kept, json!({"domains": ["xn--bcher-kva.de", "co.uk"], "networks": {"a/b": "10.0.0.0/8"}}));
        let filled = schema.validate(&config).unwrap();
        assert_eq!((&filled["every"], &filled["domains"][0]), (&json!("1m"), &json!("xn--bcher-kva.de")));

        let refused = |config: Value| {
            let found = schema.validate(&config).unwrap_err();
            assert_eq!(schema.normalised(&config).unwrap_err(), found);
            found.into_iter().map(|invalid| format!("{}: {}", invalid.pointer, invalid.message)).collect::<Vec<_>>()
        };
        assert_eq!(
            refused(json!({"domains": ["a.example", "192.0.2.1"], "networks": {"a/b": "10.1.2.3/80"}})),
            [
                "/domains/1: expected a domain, not an IP address",
                "/networks/a~1b: a prefix of such an address is 0 to 32",
            ]
        );
        assert_eq!(
            refused(json!({"domains": ["example.com", "co.uk"], "include_subdomains": true})),
            ["/domains/1: is a public suffix: everybody's domains are below it, and subdomains count here"]
        );
        // Two that are the same once they are normalised.
        assert_eq!(refused(json!({"domains": ["a.example", "A.EXAMPLE."]})), ["/domains: has the same item twice"]);
    }
}
