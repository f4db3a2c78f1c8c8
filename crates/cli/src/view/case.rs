//! What a package's own cases came to.

use super::{count, duration, run::failed};
use crate::screen::{Look, View};
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};
use sluice_control_plane::catalogue::cases;
use sluice_model::{
    Failure,
    case::{Case, Difference, Expectation},
};

/// `{cases: [{name, passed, expected, got}]}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cases {
    pub(crate) cases: Vec<CaseResult>,
    /// How long it all took, in microseconds.
    #[serde(skip)]
    pub(crate) took_us: u64,
    /// What was tested: `domain-check`.
    #[serde(skip)]
    pub(crate) slug: String,
}

/// One case. `expected` and `got` are the last step's that was run: `{outcome}` or `{failure}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CaseResult {
    pub(crate) name: String,
    pub(crate) passed: bool,
    pub(crate) expected: Value,
    pub(crate) got: Value,
    /// The step that failed, from 1, where the case has several.
    #[serde(skip)]
    pub(crate) step: Option<usize>,
    #[serde(skip)]
    pub(crate) differences: Vec<Difference>,
    /// Why it could not be run at all.
    #[serde(skip)]
    pub(crate) refused: Option<String>,
}

impl CaseResult {
    /// What the runner says of a case.
    pub(crate) fn new(case: &Case, result: cases::CaseResult) -> CaseResult {
        let last = result.step.or(case.steps.len().checked_sub(1));
        let expected = last.and_then(|step| case.steps.get(step)).map(|step| match &step.expect {
            Expectation::Outcome(outcome) => json!({ "outcome": outcome }),
            Expectation::Failure(failure) => json!({ "failure": failure }),
        });
        let of = |key: &str| result.got.get(key).filter(|v| !v.is_null()).map(|v| json!({ key: v }));
        CaseResult {
            passed: result.passed(),
            expected: expected.unwrap_or_default(),
            got: of("outcome").or_else(|| of("failure")).unwrap_or_default(),
            step: result.step.filter(|_| case.steps.len() > 1).map(|step| step + 1),
            name: result.name,
            differences: result.differences,
            refused: result.refused,
        }
    }
}

impl Cases {
    /// Whether all passed.
    pub(crate) fn passed(&self) -> bool {
        self.cases.iter().all(|c| c.passed)
    }
}

impl View for Cases {
    fn render(&self, look: &Look) -> String {
        if self.cases.is_empty() {
            return format!("{} compiles; it has no cases in tests/\n", self.slug);
        }
        let mut text = String::new();
        for case in &self.cases {
            let step = case.step.map(|s| format!(" (step {s})")).unwrap_or_default();
            if case.passed {
                text.push_str(&format!("{} {}\n", look.good("✓"), case.name));
                continue;
            }
            text.push_str(&format!("{} {}{step}\n", look.bad("✗"), look.strong(&case.name)));
            for difference in &case.differences {
                text.push_str(&format!("    {difference}\n"));
            }
            if let Some(refused) = &case.refused {
                text.push_str(&format!("    cannot be run: {refused}\n"));
            }
            let failure = case.got.get("failure").and_then(|f| Failure::deserialize(f).ok());
            text.push_str(&failure.map(|failure| failed(&failure, look)).unwrap_or_default());
        }
        let passed = self.cases.iter().filter(|c| c.passed).count() as u64;
        let failed = self.cases.len() as u64 - passed;
        let took = look.faint(&format!("({})", duration(self.took_us)));
        text.push_str(&match failed {
            0 => format!("{} passed {took}\n", count(passed, "case")),
            _ => format!("{} {took}\n", look.bad(&format!("{} failed, {passed} passed", count(failed, "case")))),
        });
        text
    }
}
