//! An Action's own check of a config: its export `checkConfig`, or a component's `check-config`.

use super::{PUBLISH_LIMITS, Run, cut_off, limited, meter, permit};
use crate::codec::EncodedInput;
use crate::codec::decode::{DecodeError, decode};
use crate::component;
use crate::engine::Engine;
use crate::guest::World;
use crate::port::NoPorts;
use crate::snapshot::Kind;
use serde_json::{Value, json};
use sluice_model::{Artifact, Bundle, BundleModule, CheckedConfig, Failure, FailureReason, Invalid, Object, Trigger};
use std::sync::Arc;

/// The most that may be answered: the largest config, which may come back with its mistakes.
const MAX_ANSWER_BYTES: usize = 512 << 10;

impl Engine {
    /// Has an Action check a config that its schema takes, defaults filled in, for a trigger. `None` where it exports no check. It
    /// has what a top level has: 1 s of CPU time, 5 s by the clock, and nothing to reach.
    ///
    /// # Errors
    /// Where the check itself fails, as a run would; an answer that is none is `invalid_outcome`.
    pub async fn check_config(
        &self,
        artifact: &Artifact,
        config: &Object,
        trigger: Trigger,
    ) -> Result<Option<CheckedConfig>, Failure> {
        match artifact {
            Artifact::Bundle(bundle) => self.check_by_script(bundle, config, trigger).await,
            Artifact::Component(bytes) => {
                let snapshot = self.component(bytes).await?;
                let Kind::Component(compiled, _) = &snapshot.kind else { return Ok(None) };
                let text = Value::Object(config.clone()).to_string();
                let (engine, compiled, meter) = (self.components()?, compiled.clone(), meter(PUBLISH_LIMITS));
                let permit = permit(&self.shared().runs, &meter).await?;
                let own = meter.clone();
                let work = async move {
                    let said = component::check_config(&engine, &compiled, &text, own).await;
                    drop(permit);
                    said
                };
                let said = self.shared().lane.run(work, &meter).await;
                let said = said.unwrap_or_else(|cut| Err(cut_off(&cut, PUBLISH_LIMITS)));
                let said = said.map_err(|failure| limited(failure, &meter, PUBLISH_LIMITS))?;
                Ok(said.map(|said| said.map_or_else(CheckedConfig::refused, |()| CheckedConfig::default())))
            }
        }
    }

    async fn check_by_script(
        &self,
        bundle: &Bundle,
        config: &Object,
        trigger: Trigger,
    ) -> Result<Option<CheckedConfig>, Failure> {
        let snapshot = self.snapshot(&checking(bundle)).await?;
        let Kind::Script(script) = &snapshot.kind else { return Ok(None) };
        let input = EncodedInput::from_json(&json!({ "config": config, "trigger": trigger.as_str() }))
            .map_err(|invalid| Failure::new(FailureReason::Internal, invalid.message))?;
        let (shared, meter) = (self.shared(), meter(PUBLISH_LIMITS));
        let permit = permit(&shared.runs, &meter).await?;
        let run =
            Run { base: shared.base.clone(), script: script.clone(), limits: PUBLISH_LIMITS, meter: meter.clone() };
        let work = async move {
            let ended = run.execute(&input, World::at(None), Arc::new(NoPorts), answer).await;
            drop(permit);
            ended
        };
        shared.lane.run(work, &meter).await.map_err(|cut| cut_off(&cut, PUBLISH_LIMITS))?.outcome
    }
}

/// The bundle with another entry, which asks the Action's own.
fn checking(bundle: &Bundle) -> Bundle {
    let mut entry = "check-config.js".to_owned();
    while bundle.modules.iter().any(|module| module.path == entry) {
        entry.insert(0, '_');
    }
    let action = Value::from(bundle.entry.as_str());
    let code = format!(
        "import * as action from {action}
export async function execute({{ config, trigger }}) {{
  return 'checkConfig' in action ? {{ said: await action.checkConfig(config, {{ trigger }}) }} : {{}}
}}
"
    );
    let own = BundleModule { path: entry.clone(), code, source_map: String::new() };
    Bundle::new(entry, bundle.modules.iter().cloned().chain([own]).collect())
}

/// What the entry of [`checking`] answered.
fn answer(bytes: Option<&[u8]>) -> Result<Option<CheckedConfig>, Invalid> {
    let unreadable = || Invalid::here("what checkConfig answered cannot be read");
    let value = match bytes.ok_or(DecodeError::Corrupt).and_then(|bytes| decode(bytes, MAX_ANSWER_BYTES)) {
        Ok(value) => value,
        Err(DecodeError::TooLarge(invalid)) => return Err(invalid),
        Err(DecodeError::Corrupt) => return Err(unreadable()),
    };
    match value {
        Value::Object(mut answer) => answer.remove("said").map(CheckedConfig::from_json).transpose(),
        _ => Err(unreadable()),
    }
}
