//! What to do after a refusal, for people: the next command, or where to look.

use sluice_model::Error;

/// What helps, by the reason. Refusals that say themselves what is taken have none.
const NEXT: &[(&str, &str)] = &[
    ("TENANT_NOT_FOUND", "sluice tenant list shows the tenants; sluice tenant create NAME makes one"),
    ("FLOW_NOT_FOUND", "sluice flow list shows the flows; sluice flow create NAME makes one"),
    ("FLOW_REVISION_NOT_FOUND", "sluice flow history FLOW lists its revisions"),
    ("ATTACHMENT_NOT_FOUND", "sluice flow show FLOW tells the ids of what is attached"),
    ("ACTION_NOT_FOUND", "sluice action list shows the catalogue; sluice action publish DIR adds to it"),
    ("VERSION_NOT_FOUND", "sluice action versions SLUG lists the versions"),
    ("REDIRECT_ORIGIN_NOT_FOUND", "sluice tenant redirect-origins list shows what is allowed"),
    ("SECRET_NOT_FOUND", "sluice secret list shows the secrets; sluice secret set NAME makes one"),
    ("TENANT_EXISTS", "sluice config set tenant NAME uses it from now on"),
    ("FLOW_EXISTS", "sluice flow show FLOW shows it"),
    ("VERSION_EXISTS", "leave --version out, and the next patch is taken; --bump minor or major takes another"),
    (
        "MAJOR_VERSION_REQUIRED",
        "publish it with --bump major, or keep the schema so that it takes all that the version before took",
    ),
    ("VERSION_YANKED", "sluice action versions SLUG lists the versions that can be attached"),
    ("VERSION_REVOKED", "sluice action versions SLUG lists the versions that can be attached"),
    (
        "ACTION_IN_USE",
        "sluice flow list and sluice flow show FLOW say where; sluice flow detach FLOW ATTACHMENT takes it out",
    ),
    ("ACTION_DELETED", "publish the Action again, or roll back to another revision: sluice flow history FLOW"),
    ("FLOW_REVISION_EXPIRED", "begin the sign-in anew, without --revision"),
    ("ETAG_MISMATCH", "read it again (sluice flow show FLOW), and change what is there now"),
    ("CONTENTION", "try again"),
    ("OVERLOADED", "try again in a moment"),
    ("SERVER_BUSY", "try again in a moment"),
    ("NOT_READY", "the executor has not heard from a control plane yet; its admin port's /readyz says why"),
    ("TOO_MANY_SECRETS", "sluice secret list shows which are used by nothing; sluice secret remove NAME removes one"),
    ("FOLDER_NOT_EMPTY", "name a folder that is not there yet"),
];

/// What to do next.
pub(crate) fn after(error: &Error) -> Option<&'static str> {
    NEXT.iter().find(|(reason, _)| *reason == error.reason).map(|(_, next)| *next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_one_of_the_documented() {
        let documented = include_str!("../../../docs/errors.md");
        for (reason, next) in NEXT {
            assert!(documented.contains(&format!("| `{reason}` |")), "{reason}");
            assert!(next.starts_with(|c: char| c.is_lowercase()) && !next.ends_with('.'), "{next}");
        }
    }
}
