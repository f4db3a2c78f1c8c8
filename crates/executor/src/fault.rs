//! Faults that an end-to-end test injects into a real executor, to prove that it would notice them.
//!
//! There is one: the spool loses a record, without a gap in its sequences and without a word to the control plane. It is asked
//! for by an environment variable that is no setting, whose value is a sentence that nobody writes by accident; anything else
//! in it is refused. Only the binary `sluice-executor` looks at it, and every fault is logged as an error.

use std::ffi::OsStr;

/// The variable. Its value: `yes, lose record 7`, where the executor's records count from 1 at each start.
pub const VARIABLE: &str = "FAULT_INJECTION_SPOOL_LOSES_RECORD";

const ASKS: &str = "yes, lose record ";

/// The faults that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The record that the spool loses.
    pub(crate) lose_record: Option<u64>,
}

/// The variable says something else than it takes.
#[derive(Debug, thiserror::Error)]
#[error("{VARIABLE}: takes \"{ASKS}N\", N from 1, in tests alone; it makes the executor lose an audit record")]
pub struct NotAsked;

impl Faults {
    /// What the value of [`VARIABLE`] asks for; none where it is not set.
    ///
    /// # Errors
    /// It is set to anything but the sentence.
    pub fn asked(value: Option<&OsStr>) -> Result<Faults, NotAsked> {
        let Some(value) = value else { return Ok(Faults::default()) };
        let number = value.to_str().and_then(|text| text.strip_prefix(ASKS)).and_then(|number| number.parse().ok());
        let record = number.filter(|record| *record > 0).ok_or(NotAsked)?;
        tracing::error!(record, "FAULT INJECTION is on ({VARIABLE}): this executor will lose an audit record");
        Ok(Faults { lose_record: Some(record) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_sentence_asks_for_a_fault() {
        assert_eq!(Faults::asked(None).unwrap(), Faults::default());
        let asked = Faults::asked(Some(OsStr::new("yes, lose record 7"))).unwrap();
        assert_eq!(asked.lose_record, Some(7));
        for other in ["", "1", "true", "7", "yes", "yes, lose record ", "yes, lose record 0", "yes, lose record -1"] {
            let refused = Faults::asked(Some(OsStr::new(other))).unwrap_err().to_string();
            assert!(refused.contains("takes \"yes, lose record N\""), "{other}: {refused}");
        }
    }
}
