//! Pages of lists: tokens that carry the last key, checked to belong to the list that they are sent with.

use crate::store::Key;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sluice_model::Error;

/// How many entries a page has where the caller does not say.
const DEFAULT_SIZE: usize = 100;
/// The most that a caller may ask for.
const MAX_SIZE: usize = 1000;

/// How many entries a page has.
pub(crate) fn size(asked: u32) -> Result<usize, Error> {
    match usize::try_from(asked) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) if size <= MAX_SIZE => Ok(size),
        _ => Err(Error::field("page_size", format!("is {asked}; it takes 1 to {MAX_SIZE}, or 0 for {DEFAULT_SIZE}"))),
    }
}

/// The token of the page that starts past a key.
pub(crate) fn token(next: Option<&Key>) -> String {
    next.map(|key| URL_SAFE_NO_PAD.encode(key.as_bytes())).unwrap_or_default()
}

/// The key that a token carries; it must be of the list under `prefix`, or a token could lead out of a tenant.
pub(crate) fn after(token: &str, prefix: &Key) -> Result<Option<Key>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    match URL_SAFE_NO_PAD.decode(token) {
        Ok(bytes) if bytes.starts_with(prefix.as_bytes()) => Ok(Some(Key::from_bytes(bytes))),
        _ => Err(Error::field("page_token", "is not the next_page_token of an earlier page of this list")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use sluice_model::Slug;

    #[test]
    fn a_token_of_another_list_is_refused() {
        let slug = |text| Slug::parse(text).unwrap();
        let own = keys::flow(&slug("acme"), &slug("sign-in"));
        let text = token(Some(&own));
        assert_eq!(after(&text, &keys::flows(&slug("acme"))).unwrap(), Some(own));
        for prefix in [keys::flows(&slug("acme-2")), keys::actions(&slug("acme")), keys::tenants()] {
            assert_eq!(after(&text, &prefix).unwrap_err().fields[0].field, "page_token");
        }
        assert!(after("not base64!", &keys::tenants()).is_err());
    }
}
