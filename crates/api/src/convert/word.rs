//! Enums: the wire's numbers and the model's words.

use super::FieldError;
use crate::{control, types::v1 as wire};
use sluice_model::{
    FailureReason, LogLevel, OnCountersUnavailable, OnFailure, OutcomeKind, Skipped,
    claim::{ClaimTarget, ClaimToken},
    flow::FlowChangeKind,
    manifest::Capability,
    outcome::{BlockError, EmitFormat, EmitOn, Factor, IfExists, OnNonInteractive, OnUnenrolled, RedirectMode},
    slot::LostKind,
    version::ActionKind,
};

/// An enum of the model that the wire has too. 0 is never one of its values.
pub trait Word: Copy {
    /// Reads the wire's number; unspecified and unknown numbers are mistakes.
    fn from_wire(number: i32) -> Result<Self, FieldError>;

    /// The wire's number.
    fn to_wire(self) -> i32;

    /// Reads the wire's number where unspecified means that nothing was said.
    fn from_wire_or_none(number: i32) -> Result<Option<Self>, FieldError> {
        if number == 0 { Ok(None) } else { Self::from_wire(number).map(Some) }
    }

    /// Reads an optional field; 0 in it is a mistake, since it was sent.
    fn from_optional(number: Option<i32>) -> Result<Option<Self>, FieldError> {
        number.map(Self::from_wire).transpose()
    }

    /// Reads a list.
    fn from_list(numbers: &[i32]) -> Result<Vec<Self>, FieldError> {
        numbers.iter().enumerate().map(|(i, n)| Self::from_wire(*n).map_err(|e| e.at_index(i))).collect()
    }

    /// The wire's numbers.
    fn to_list(words: &[Self]) -> Vec<i32> {
        words.iter().map(|w| w.to_wire()).collect()
    }
}

/// Pairs an enum of the model (left) with one of the wire (right). Both matches are exhaustive: a value that only one side has does
/// not compile.
macro_rules! words {
    ($($model:ident = $wire:ident { $($variant:ident),+ })+) => {$(
        impl From<$model> for wire::$wire {
            fn from(word: $model) -> Self {
                match word { $($model::$variant => Self::$variant),+ }
            }
        }

        impl TryFrom<wire::$wire> for $model {
            type Error = FieldError;

            fn try_from(value: wire::$wire) -> Result<Self, FieldError> {
                match value {
                    wire::$wire::Unspecified => Err(FieldError::here(format!("is unspecified; it takes {}", all($model::ALL)))),
                    $(wire::$wire::$variant => Ok($model::$variant)),+
                }
            }
        }

        impl Word for $model {
            fn from_wire(number: i32) -> Result<Self, FieldError> {
                wire::$wire::try_from(number)
                    .map_err(|_| FieldError::here(format!("{number} is not known here; it takes {}", all($model::ALL))))?
                    .try_into()
            }

            fn to_wire(self) -> i32 {
                wire::$wire::from(self) as i32
            }
        }
    )+};
}

fn all<T>(words: &[(&str, T)]) -> String {
    words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}

words! {
    OutcomeKind = OutcomeKind { Continue, Block, DemandMfa, Redirect }
    Factor = Factor { Otp, Webauthn, Push, Email, Sms, Recovery }
    BlockError = BlockError { AccessDenied, RateLimited, RiskDenied }
    OnUnenrolled = OnUnenrolled { Block, Enroll, Continue }
    OnNonInteractive = OnNonInteractive { Block, Continue }
    RedirectMode = RedirectMode { Landing, Resumable }
    IfExists = IfExists { Keep, Overwrite, Error }
    EmitOn = EmitOn { Success, Blocked, Always }
    EmitFormat = EmitFormat { Standard, Slack }
    ClaimTarget = ClaimTarget { Id, Access, Both }
    ClaimToken = ClaimToken { Id, Access }
    FailureReason = FailureReason {
        Threw, CpuLimit, WallLimit, MemoryLimit, InvalidOutcome, NeverSettled, CapabilityDenied, Unavailable, CircuitOpen,
        Revoked, Internal
    }
    Skipped = SkipReason { AfterBlock, Disabled, BreakGlass }
    LogLevel = LogLevel { Debug, Info, Warn, Error }
    OnFailure = OnFailure { Block, Continue }
    OnCountersUnavailable = OnCountersUnavailable { Local, Fail }
    FlowChangeKind = FlowChangeKind { Attached, Detached, Updated, SlotUpdated }
    ActionKind = ActionKind { Template, Custom }
    Capability = Capability { Counters, Kv }
    LostKind = LostKind { Claim, Redirect, Factors, State }
}

/// What a publish asks for; unspecified is the same as nothing.
pub(super) fn bump(number: i32) -> Result<Option<sluice_model::version::Bump>, FieldError> {
    use sluice_model::version::Bump;
    match control::v1::Bump::try_from(number) {
        Ok(control::v1::Bump::Unspecified) => Ok(None),
        Ok(control::v1::Bump::Patch) => Ok(Some(Bump::Patch)),
        Ok(control::v1::Bump::Minor) => Ok(Some(Bump::Minor)),
        Ok(control::v1::Bump::Major) => Ok(Some(Bump::Major)),
        Err(_) => Err(FieldError::here(format!("{number} is not known here; it takes patch, minor, major"))),
    }
}
