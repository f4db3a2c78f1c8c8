//! Versions: immutable, semver, content-addressed; how the next one is named and how a pin is resolved.

use crate::{Error, Grants, Limits, Object, OutcomeKind, Slug, Trigger, decode::words};
use semver::{BuildMetadata, Prerelease, Version, VersionReq};
use serde::{Deserialize, Serialize};

words! {
    /// Whose an Action is.
    ActionKind {
        /// Shipped by the platform.
        Template = "template",
        /// The tenant's own.
        Custom = "custom",
    }
}

/// A published version. Never changed but for its lifecycle marks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionVersion {
    /// The tenant.
    pub tenant: Slug,
    /// The Action.
    pub slug: Slug,
    /// The version.
    pub version: Version,
    /// Whose the Action is. A row that an older build wrote says nothing of it: there were no templates then.
    #[serde(default = "custom")]
    pub kind: ActionKind,
    /// The Action's name, for people.
    pub name: String,
    /// What it does, for people.
    pub description: String,
    /// Where it can be attached.
    pub triggers: Vec<Trigger>,
    /// What it may answer; `None` is anything that the trigger allows.
    pub outcomes: Option<Vec<OutcomeKind>>,
    /// What a run may use.
    pub limits: Limits,
    /// What a run may reach. A row that an older build wrote says nothing of it: what reaches anything was refused then.
    #[serde(default)]
    pub grants: Grants,
    /// The config schema as JSON; `None` takes only `{}`.
    pub schema: Option<Object>,
    /// Names the content: source, metadata, schema. Blake3, 64 hexadecimal digits.
    pub content_digest: String,
    /// Names the bundle, likewise.
    pub bundle_digest: String,
    /// The engine that it was published on.
    pub engine: String,
    /// When.
    pub published_at: jiff::Timestamp,
    /// By whom.
    pub published_by: String,
    /// Attachable, with a warning.
    pub deprecated: bool,
    /// What is attached stays; no new attachment.
    pub yanked: bool,
    /// Executors drop it, for good. A row that an older build wrote says nothing of it.
    #[serde(default)]
    pub revoked: bool,
}

fn custom() -> ActionKind {
    ActionKind::Custom
}

impl ActionVersion {
    /// Whether it may be attached, now or by a range: it is neither yanked nor revoked.
    pub fn is_attachable(&self) -> bool {
        !self.yanked && !self.revoked
    }
}

/// How the next version is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bump {
    /// The default.
    Patch,
    /// New, compatible.
    Minor,
    /// Incompatible.
    Major,
    /// Exactly this one.
    Exact(Version),
}

/// Reads an exact version. `+build` is refused: two versions that differ only in it would be equal in precedence.
pub fn parse_version(text: &str) -> Result<Version, String> {
    let version = Version::parse(text).map_err(|e| format!("{text:?} is not a version such as 1.2.0: {e}"))?;
    if !version.build.is_empty() {
        return Err(format!("{text:?} has build metadata (+{}), which a version here cannot have", version.build));
    }
    Ok(version)
}

/// The version that a publish makes. `existing` are all of the Action's versions, deleted ones included. The first is
/// 1.0.0; bumps count from the highest; any version that does not exist yet may be named exactly.
pub fn next_version(existing: &[Version], bump: &Bump) -> Result<Version, Error> {
    if let Bump::Exact(version) = bump {
        if existing.contains(version) {
            return Err(Error::new(
                crate::Code::AlreadyExists,
                "VERSION_EXISTS",
                format!("version {version} exists with other content; a published version is never changed"),
            )
            .with_field("version", "name one that does not exist yet, or leave it out for the next patch"));
        }
        return Ok(version.clone());
    }
    let Some(highest) = existing.iter().max() else {
        return Ok(Version::new(1, 0, 0));
    };
    // The release that a prerelease leads to counts as the bump that it is the prerelease of.
    let pre = !highest.pre.is_empty();
    let mut next = Version { pre: Prerelease::EMPTY, build: BuildMetadata::EMPTY, ..highest.clone() };
    let part = match bump {
        Bump::Patch if pre => return Ok(next),
        Bump::Minor if pre && next.patch == 0 => return Ok(next),
        Bump::Major if pre && next.patch == 0 && next.minor == 0 => return Ok(next),
        Bump::Patch => &mut next.patch,
        Bump::Minor => {
            next.patch = 0;
            &mut next.minor
        }
        Bump::Major => {
            (next.minor, next.patch) = (0, 0);
            &mut next.major
        }
        Bump::Exact(_) => return Ok(next),
    };
    *part = part.checked_add(1).ok_or_else(|| {
        Error::precondition("VERSION_OVERFLOW", format!("no version can follow {highest}; name an exact one"))
    })?;
    Ok(next)
}

/// What a pin may be written as: an exact version, or a range that is resolved once, when it is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// `1.2.0`, a prerelease included.
    Exact(Version),
    /// `^1.2`, `~1.2.0`, `>=1, <3`, `1.x`, `*`.
    Range(VersionReq),
    /// Nothing was said: the highest release.
    Newest,
}

impl Pin {
    /// Reads a pin; empty text and `latest` mean the newest release.
    pub fn parse(text: &str) -> Result<Pin, String> {
        if text.is_empty() || text == "latest" {
            return Ok(Pin::Newest);
        }
        if Version::parse(text).is_ok() {
            return parse_version(text).map(Pin::Exact);
        }
        VersionReq::parse(text)
            .map(Pin::Range)
            .map_err(|e| format!("{text:?} is neither a version such as 1.2.0 nor a range such as ^1.2: {e}"))
    }

    /// Whether a version fits. A range and `Newest` never mean a prerelease that was not asked for.
    pub fn fits(&self, version: &Version) -> bool {
        match self {
            Pin::Exact(exact) => exact == version,
            Pin::Range(range) => range.matches(version),
            Pin::Newest => version.pre.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn versions(all: &[&str]) -> Vec<Version> {
        all.iter().map(|v| Version::parse(v).unwrap()).collect()
    }

    #[test]
    fn the_next_version_counts_from_the_highest() {
        for (existing, bump, expected) in [
            (&[][..], Bump::Major, "1.0.0"),
            (&["1.0.0"], Bump::Patch, "1.0.1"),
            (&["1.1.0", "1.0.1"], Bump::Patch, "1.1.1"),
            (&["1.1.0"], Bump::Minor, "1.2.0"),
            (&["1.1.3"], Bump::Major, "2.0.0"),
            (&["2.0.0-beta.1", "1.9.0"], Bump::Patch, "2.0.0"),
            (&["2.0.0-beta.1"], Bump::Minor, "2.0.0"),
            (&["2.1.0-beta.1"], Bump::Major, "3.0.0"),
            (&["1.1.0"], Bump::Exact(Version::new(1, 0, 1)), "1.0.1"),
        ] {
            let next = next_version(&versions(existing), &bump).unwrap();
            assert_eq!(next.to_string(), expected, "{existing:?} {bump:?}");
        }
        let taken = next_version(&versions(&["1.0.0"]), &Bump::Exact(Version::new(1, 0, 0))).unwrap_err();
        assert_eq!(taken.reason, "VERSION_EXISTS");
        let last = next_version(&[Version::new(1, 0, u64::MAX)], &Bump::Patch).unwrap_err();
        assert_eq!(last.reason, "VERSION_OVERFLOW");
    }

    #[test]
    fn a_plain_version_is_exact_and_never_a_range() {
        assert!(!Pin::parse("1.2.0").unwrap().fits(&Version::new(1, 3, 0)));
        assert!(Pin::parse("^1.2").unwrap().fits(&Version::new(1, 3, 0)));
        assert!(Pin::parse("1.2.0-beta.1").unwrap().fits(&versions(&["1.2.0-beta.1"])[0]));
        assert!(!Pin::parse("").unwrap().fits(&versions(&["1.2.0-beta.1"])[0]));
        assert!(Pin::parse("1.2.0+build").unwrap_err().contains("build metadata"));
        assert!(Pin::parse("one").unwrap_err().contains("neither"));
    }
}
