//! What a package's own cases came to.

use super::{
    count,
    coverage::Coverage,
    duration,
    run::{failed, printed},
    size,
};
use crate::screen::{Look, View, foreign};
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};
use sluice_control_plane::catalogue::cases::{self, Spent};
use sluice_model::{
    Failure, LogLine,
    case::{Case, Difference, Expectation},
};

/// `{cases: [{name, passed, expected, got, file, step | null, differences: [{pointer, expected, got}], refused | null, cpu_us,
/// wall_us, memory_bytes, logs}], code_bytes, logs}`, and `coverage`
/// where it was asked for
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cases {
    pub(crate) cases: Vec<CaseResult>,
    /// How long it all took, in microseconds.
    #[serde(skip)]
    pub(crate) took_us: u64,
    /// What counts against the bound: the JavaScript of the bundle, or the component.
    pub(crate) code_bytes: u64,
    /// What that is: `JavaScript`, `WebAssembly`.
    #[serde(skip)]
    pub(crate) language: &'static str,
    /// What the top level printed while it was evaluated.
    pub(crate) logs: Vec<LogLine>,
    /// Which lines the cases have run, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) coverage: Option<Coverage>,
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
    /// Its file in the package.
    pub(crate) file: String,
    /// The step that failed, from 1, where the case has several.
    pub(crate) step: Option<usize>,
    pub(crate) differences: Vec<Difference>,
    /// Why it could not be run at all.
    pub(crate) refused: Option<String>,
    #[serde(flatten)]
    pub(crate) spent: Spent,
    pub(crate) logs: Vec<LogLine>,
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
            file: result.file,
            spent: result.spent,
            logs: result.logs,
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
        let top_level = match printed(&self.logs, look) {
            logs if logs.is_empty() => logs,
            logs => format!("  at the top level, once for each version\n{logs}"),
        };
        if self.cases.is_empty() {
            let code = format!("{} of {}", size(self.code_bytes), self.language);
            return format!("{top_level}{} compiles to {code}; it has no cases in tests/\n", self.slug);
        }
        let mut text = top_level;
        for case in &self.cases {
            let step = case.step.map(|s| format!(" (step {s})")).unwrap_or_default();
            let Spent { cpu_us, memory_bytes, .. } = case.spent;
            let spent = look.faint(&format!("({} CPU, {})", duration(cpu_us), size(memory_bytes)));
            if case.passed {
                text.push_str(&format!("{} {} {spent}\n", look.good("✓"), foreign(&case.name)));
                text.push_str(&printed(&case.logs, look));
                continue;
            }
            text.push_str(&format!(
                "{} {}{step} {}\n",
                look.bad("✗"),
                look.strong(&foreign(&case.name)),
                look.faint(&foreign(&case.file))
            ));
            for difference in &case.differences {
                text.push_str(&format!("    {}\n", foreign(&difference.to_string())));
            }
            if let Some(refused) = &case.refused {
                text.push_str(&format!("    cannot be run: {}\n", foreign(refused)));
            }
            let failure = case.got.get("failure").and_then(|f| Failure::deserialize(f).ok());
            text.push_str(&failure.map(|failure| failed(&failure, look)).unwrap_or_default());
            text.push_str(&printed(&case.logs, look));
        }
        let passed = self.cases.iter().filter(|c| c.passed).count() as u64;
        let failed = self.cases.len() as u64 - passed;
        let took = look.faint(&format!("({}, {} of {})", duration(self.took_us), size(self.code_bytes), self.language));
        text.push_str(&match failed {
            0 => format!("{} passed {took}\n", count(passed, "case")),
            _ => format!("{} {took}\n", look.bad(&format!("{} failed, {passed} passed", count(failed, "case")))),
        });
        text.push_str(&self.coverage.as_ref().map(|coverage| coverage.render(look)).unwrap_or_default());
        text
    }
}
