//! Where everything lies in the store: the one list of keys.
//!
//! | key | row |
//! | --- | --- |
//! | `p store` | the number that the store was given when it was made |
//! | `p tenant T` | a tenant |
//! | `p audit #` | the audit outbox: records on their way to the log |
//! | `p request ID` | the answer to a request of the platform |
//! | `p request-age MS T ID` | when that of a tenant (or of none) was given, to forget it |
//! | `t T request ID` | the answer to a request of a tenant |
//! | `t T action A` | an Action of the catalogue, with its newest version |
//! | `t T version A V` | a version; they sort by precedence |
//! | `t T bundle DIGEST` | that the tenant may have the bundle |
//! | `t T flow F` | a flow, with its newest revision |
//! | `t T revision F #` | a revision of it, never changed |
//! | `t T replaced F #` | when the next revision took its place |
//! | `t T saved F #` | who saved a revision, and what it changed |
//! | `t T gone-flow F` | that a flow was deleted, with its last revision: the next of its slug counts on |
//! | `t T gone-action A` | that an Action was deleted, and how often: versions of a former one are not its successor's |
//! | `t T revoked A V` | when the platform revoked a version |
//! | `p template A V` | a version of a template of the platform, which every tenant has |
//! | `p template-bundle DIGEST` | that every tenant may have the bundle |
//! | `p secret-key` | which key has sealed the secrets, from the first one on |
//! | `t T secret N` | a secret, its value sealed |
//! | `t T gone-secret N` | that a secret was removed, with its last version: it counts on when it is set again |
//! | `t T secret-guard` | nothing: written by whoever adds a secret, so that there are never too many |
//! | `p secret-former MS T N` | until when a former value of a secret signs, to forget it |
//! | `t T delivery ID` | a delivery: its state, and its last attempts |
//! | `t T delivery-content ID` | what is delivered, and where to |
//! | `t T delivery-in STATE MS ID` | that a delivery is in a state, by when it was made |
//! | `t T endpoint E` | where deliveries go, and whether they may |
//! | `p delivery-queue T E MS ID` | that a delivery to an endpoint is due then |
//! | `p endpoint-disabled T E` | that nothing is sent to an endpoint |
//! | `t T use A F` | in how many slots of the flow's newest revision the Action is |

use crate::store::Key;
use semver::Version;
use sluice_model::Slug;

/// The number of the store.
pub(crate) fn store() -> Key {
    Key::platform("store")
}

/// All tenants.
pub(crate) fn tenants() -> Key {
    Key::platform("tenant")
}

/// A tenant.
pub(crate) fn tenant(tenant: &Slug) -> Key {
    tenants().text(tenant.as_str())
}

/// The queue of audit records that are not in the log yet.
pub(crate) fn outbox() -> Key {
    Key::platform("audit")
}

/// The answer to a request, of a tenant or of the platform.
pub(crate) fn request(tenant: Option<&Slug>, id: &str) -> Key {
    tenant.map_or_else(|| Key::platform("request"), |tenant| Key::tenant(tenant, "request")).text(id)
}

/// All answers by age.
pub(crate) fn request_ages() -> Key {
    Key::platform("request-age")
}

/// All Actions of a tenant.
pub(crate) fn actions(tenant: &Slug) -> Key {
    Key::tenant(tenant, "action")
}

/// An Action.
pub(crate) fn action(tenant: &Slug, slug: &Slug) -> Key {
    actions(tenant).text(slug.as_str())
}

/// All versions of an Action.
pub(crate) fn versions(tenant: &Slug, slug: &Slug) -> Key {
    Key::tenant(tenant, "version").text(slug.as_str())
}

/// A version. Keys sort as semver does: by the three numbers, a prerelease before its release, prereleases by their parts,
/// of which numbers come before words.
pub(crate) fn version(tenant: &Slug, slug: &Slug, version: &Version) -> Key {
    const PRERELEASE: u64 = 0;
    const RELEASE: u64 = 1;
    let key = versions(tenant, slug).number(version.major).number(version.minor).number(version.patch);
    if version.pre.is_empty() {
        return key.number(RELEASE);
    }
    version.pre.split('.').fold(key.number(PRERELEASE), |key, part| match part.bytes().all(|b| b.is_ascii_digit()) {
        // Numbers have no leading zeros, so a longer one is greater; they may be longer than any integer.
        true => key.number(part.len() as u64).text(part),
        false => key.number(u64::MAX).text(part),
    })
}

/// All versions of all templates.
pub(crate) fn templates() -> Key {
    Key::platform("template")
}

/// A version of a template.
pub(crate) fn template(slug: &Slug, version: &Version) -> Key {
    templates().text(slug.as_str()).text(&version.to_string())
}

/// That every tenant may have a bundle.
pub(crate) fn template_bundle(digest: &str) -> Key {
    Key::platform("template-bundle").text(digest)
}

/// That a tenant may have a bundle.
pub(crate) fn bundle(tenant: &Slug, digest: &str) -> Key {
    Key::tenant(tenant, "bundle").text(digest)
}

/// All flows of a tenant.
pub(crate) fn flows(tenant: &Slug) -> Key {
    Key::tenant(tenant, "flow")
}

/// A flow.
pub(crate) fn flow(tenant: &Slug, flow: &Slug) -> Key {
    flows(tenant).text(flow.as_str())
}

/// A revision of a flow.
pub(crate) fn revision(tenant: &Slug, flow: &Slug, revision: u64) -> Key {
    Key::tenant(tenant, "revision").text(flow.as_str()).number(revision)
}

/// When the revisions of a flow were replaced.
pub(crate) fn replacements(tenant: &Slug, flow: &Slug) -> Key {
    Key::tenant(tenant, "replaced").text(flow.as_str())
}

/// When a revision was replaced.
pub(crate) fn replaced(tenant: &Slug, flow: &Slug, revision: u64) -> Key {
    replacements(tenant, flow).number(revision)
}

/// How the revisions of a flow came to be.
pub(crate) fn saves(tenant: &Slug, flow: &Slug) -> Key {
    Key::tenant(tenant, "saved").text(flow.as_str())
}

/// How a revision came to be.
pub(crate) fn saved(tenant: &Slug, flow: &Slug, revision: u64) -> Key {
    saves(tenant, flow).number(revision)
}

/// All flows that were deleted and not made again.
pub(crate) fn gone_flows(tenant: &Slug) -> Key {
    Key::tenant(tenant, "gone-flow")
}

/// That a flow was deleted.
pub(crate) fn gone_flow(tenant: &Slug, flow: &Slug) -> Key {
    gone_flows(tenant).text(flow.as_str())
}

/// That an Action was deleted.
pub(crate) fn gone_action(tenant: &Slug, slug: &Slug) -> Key {
    Key::tenant(tenant, "gone-action").text(slug.as_str())
}

/// That a version was revoked.
pub(crate) fn revoked(tenant: &Slug, slug: &Slug, version: &Version) -> Key {
    Key::tenant(tenant, "revoked").text(slug.as_str()).text(&version.to_string())
}

/// The flows whose newest revisions have an Action.
pub(crate) fn uses(tenant: &Slug, slug: &Slug) -> Key {
    Key::tenant(tenant, "use").text(slug.as_str())
}

/// In how many slots of a flow an Action is.
pub(crate) fn used(tenant: &Slug, slug: &Slug, flow: &Slug) -> Key {
    uses(tenant, slug).text(flow.as_str())
}

/// Which key has sealed the secrets.
pub(crate) fn secret_key() -> Key {
    Key::platform("secret-key")
}

/// All secrets of a tenant.
pub(crate) fn secrets(tenant: &Slug) -> Key {
    Key::tenant(tenant, "secret")
}

/// A secret.
pub(crate) fn secret(tenant: &Slug, name: &str) -> Key {
    secrets(tenant).text(name)
}

/// That a secret was removed.
pub(crate) fn gone_secret(tenant: &Slug, name: &str) -> Key {
    Key::tenant(tenant, "gone-secret").text(name)
}

/// What is written by whoever adds a secret.
pub(crate) fn secret_guard(tenant: &Slug) -> Key {
    Key::tenant(tenant, "secret-guard")
}

/// When former values of secrets end.
pub(crate) fn former_secrets() -> Key {
    Key::platform("secret-former")
}

/// A delivery.
pub(crate) fn delivery(tenant: &Slug, id: &str) -> Key {
    Key::tenant(tenant, "delivery").text(id)
}

/// What is delivered.
pub(crate) fn delivery_content(tenant: &Slug, id: &str) -> Key {
    Key::tenant(tenant, "delivery-content").text(id)
}

/// The deliveries of a tenant in a state, by when they were made.
pub(crate) fn deliveries_in(tenant: &Slug, state: &str) -> Key {
    Key::tenant(tenant, "delivery-in").text(state)
}

/// The endpoints of a tenant.
pub(crate) fn endpoints(tenant: &Slug) -> Key {
    Key::tenant(tenant, "endpoint")
}

/// An endpoint, by its digest.
pub(crate) fn endpoint(tenant: &Slug, digest: &str) -> Key {
    endpoints(tenant).text(digest)
}

/// All deliveries that are to be sent.
pub(crate) fn delivery_queues() -> Key {
    Key::platform("delivery-queue")
}

/// The deliveries to an endpoint that are to be sent, by when they are due.
pub(crate) fn delivery_queue(tenant: &Slug, digest: &str) -> Key {
    delivery_queues().text(tenant.as_str()).text(digest)
}

/// All endpoints that nothing is sent to.
pub(crate) fn disabled_endpoints() -> Key {
    Key::platform("endpoint-disabled")
}

/// That nothing is sent to an endpoint.
pub(crate) fn disabled_endpoint(tenant: &Slug, digest: &str) -> Key {
    disabled_endpoints().text(tenant.as_str()).text(digest)
}

/// What a change of a key is about, where executors care.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A tenant.
    Tenant(Slug),
    /// A revision of a flow, new or replaced.
    Revision(Slug, Slug, u64),
    /// A version that was revoked.
    Version(Slug, Slug, Version),
    /// A secret that was set or removed.
    Secret(Slug, String),
}

/// Reads a key; `None` for keys that executors do not care for.
pub(crate) fn subject(key: &Key) -> Option<Subject> {
    let mut parts = key.parts();
    let slug = |text: Option<String>| Slug::parse(&text?).ok();
    match parts.text()?.as_str() {
        "p" if parts.text()? == "tenant" => Some(Subject::Tenant(slug(parts.text())?)),
        "t" => {
            let tenant = slug(parts.text())?;
            let kind = parts.text()?;
            if kind == "secret" {
                return Some(Subject::Secret(tenant, parts.text()?));
            }
            let name = slug(parts.text())?;
            match kind.as_str() {
                "revision" | "replaced" => Some(Subject::Revision(tenant, name, parts.number()?)),
                "revoked" => Some(Subject::Version(tenant, name, Version::parse(&parts.text()?).ok()?)),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_semver_does() {
        let slug = |text| Slug::parse(text).unwrap();
        let sorted = [
            "0.0.1",
            "0.9.0",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-99999999999999999999999",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.1.x",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2.0.0",
            "18446744073709551615.0.0",
        ];
        for pair in sorted.windows(2) {
            let (low, high) = (Version::parse(pair[0]).unwrap(), Version::parse(pair[1]).unwrap());
            assert!(low < high, "{low} {high}: the test itself");
            assert!(
                version(&slug("t"), &slug("a"), &low) < version(&slug("t"), &slug("a"), &high),
                "{low} sorts before {high}"
            );
        }
    }

    #[test]
    fn executors_care_for_tenants_revisions_secrets_and_what_was_revoked_alone() {
        let slug = |text| Slug::parse(text).unwrap();
        let (t, f) = (slug("acme"), slug("sign-in"));
        assert_eq!(subject(&tenant(&t)), Some(Subject::Tenant(t.clone())));
        assert_eq!(subject(&revision(&t, &f, 7)), Some(Subject::Revision(t.clone(), f.clone(), 7)));
        assert_eq!(subject(&replaced(&t, &f, 6)), Some(Subject::Revision(t.clone(), f.clone(), 6)));
        assert_eq!(subject(&secret(&t, "API_KEY")), Some(Subject::Secret(t.clone(), "API_KEY".to_owned())));
        let number = Version::parse("1.2.0-rc.1").unwrap();
        assert_eq!(subject(&revoked(&t, &f, &number)), Some(Subject::Version(t.clone(), f.clone(), number.clone())));
        for other in [
            outbox().number(1),
            action(&t, &f),
            template(&f, &number),
            template_bundle("d"),
            version(&t, &f, &number),
            flow(&t, &f),
            saved(&t, &f, 1),
            gone_flow(&t, &f),
            gone_action(&t, &f),
            used(&t, &f, &f),
            request(Some(&t), "x"),
            store(),
            secret_key(),
            secret_guard(&t),
            gone_secret(&t, "API_KEY"),
            former_secrets().number(1).text("acme").text("API_KEY"),
            delivery(&t, "msg_a"),
            delivery_content(&t, "msg_a"),
            deliveries_in(&t, "dead").number(1).text("msg_a"),
            endpoint(&t, "abc"),
            delivery_queue(&t, "abc").number(1).text("msg_a"),
            disabled_endpoint(&t, "abc"),
        ] {
            assert_eq!(subject(&other), None, "{other}");
        }
    }
}
