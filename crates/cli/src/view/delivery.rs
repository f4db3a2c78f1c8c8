//! Deliveries, and where they go.

use super::{Cell, Entry, Table, duration};
use crate::{
    screen::{Look, View},
    stop::Stop,
};
use jiff::Timestamp;
use serde::Serialize;
use sluice_api::{
    control::v1 as control,
    convert::{Ctx as _, Word as _, required, timestamp},
};
use sluice_model::outcome::EmitFormat;

/// `{at, duration_ms, status | null, failure | null}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Attempt {
    at: Timestamp,
    duration_ms: u64,
    status: Option<u32>,
    failure: Option<String>,
}

impl TryFrom<control::DeliveryAttempt> for Attempt {
    type Error = Stop;

    fn try_from(attempt: control::DeliveryAttempt) -> Result<Attempt, Stop> {
        let took = attempt.duration.unwrap_or_default();
        let ms = took.seconds.saturating_mul(1_000).saturating_add(i64::from(took.nanos / 1_000_000));
        Ok(Attempt {
            at: required(attempt.at).and_then(timestamp).ctx("at")?,
            duration_ms: u64::try_from(ms).unwrap_or(0),
            status: (attempt.status != 0).then_some(attempt.status),
            failure: said(attempt.failure),
        })
    }
}

impl Attempt {
    /// What came of it, for people.
    fn told(&self) -> String {
        match (&self.status, &self.failure) {
            (Some(status), _) => status.to_string(),
            (None, Some(failure)) => failure.clone(),
            (None, None) => "-".to_owned(),
        }
    }
}

/// `{id, endpoint, type, format, state, made_at, due_at, ended_at, attempts, max_attempts, last_attempt, dead_reason, told_by, flow,
/// trigger, attachment, slug, version, execution_id, etag}`, null where it does not apply.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Delivery {
    id: String,
    endpoint: String,
    #[serde(rename = "type")]
    kind: String,
    format: EmitFormat,
    state: &'static str,
    made_at: Timestamp,
    due_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    attempts: u32,
    max_attempts: u32,
    last_attempt: Option<Attempt>,
    dead_reason: Option<String>,
    told_by: Option<String>,
    flow: Option<String>,
    trigger: Option<String>,
    attachment: Option<String>,
    slug: String,
    version: String,
    execution_id: Option<String>,
    etag: String,
}

fn said(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl TryFrom<control::Delivery> for Delivery {
    type Error = Stop;

    fn try_from(delivery: control::Delivery) -> Result<Delivery, Stop> {
        let state = match delivery.state() {
            control::DeliveryState::Unspecified => "unknown",
            control::DeliveryState::Pending => "pending",
            control::DeliveryState::Delivered => "delivered",
            control::DeliveryState::Dead => "dead",
        };
        Ok(Delivery {
            state,
            format: EmitFormat::from_wire(delivery.format).ctx("format")?,
            made_at: required(delivery.made_at).and_then(timestamp).ctx("made_at")?,
            due_at: delivery.due_at.map(timestamp).transpose().ctx("due_at")?,
            ended_at: delivery.ended_at.map(timestamp).transpose().ctx("ended_at")?,
            attempts: delivery.attempts,
            max_attempts: delivery.max_attempts,
            last_attempt: delivery.last_attempt.map(Attempt::try_from).transpose()?,
            dead_reason: said(delivery.dead_reason),
            told_by: said(delivery.told_by),
            flow: said(delivery.flow),
            trigger: said(delivery.trigger),
            attachment: said(delivery.attachment),
            slug: delivery.slug,
            version: delivery.version,
            execution_id: said(delivery.execution_id),
            etag: delivery.etag,
            id: delivery.id,
            endpoint: delivery.endpoint,
            kind: delivery.r#type,
        })
    }
}

impl Entry for Delivery {
    const NONE: &'static str = "There is no such delivery: deliveries are made of what Actions emit.";
    const COLUMNS: &'static [&'static str] = &["ID", "MADE", "STATE", "ATTEMPTS", "LAST", "ENDPOINT", "ACTION"];

    fn row(&self, look: &Look) -> Vec<Cell> {
        let state = Cell::new(self.state);
        vec![
            Cell::new(&self.id),
            Cell::new(look.time(self.made_at)),
            match self.state {
                "delivered" => state.good(),
                "dead" => state.bad(),
                _ => state,
            },
            Cell::new(format!("{}/{}", self.attempts, self.max_attempts)),
            Cell::new(self.last_attempt.as_ref().map_or("-".to_owned(), Attempt::told)),
            Cell::new(&self.endpoint),
            Cell::new(format!("{}@{}", self.slug, self.version)).faint(),
        ]
    }
}

/// What `delivery show` tells: a delivery with `{all_attempts, body, signing_secret, header_names}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    delivery: Delivery,
    all_attempts: Vec<Attempt>,
    body: String,
    signing_secret: Option<String>,
    header_names: Vec<String>,
}

impl TryFrom<control::GetDeliveryResponse> for Shown {
    type Error = Stop;

    fn try_from(answer: control::GetDeliveryResponse) -> Result<Shown, Stop> {
        Ok(Shown {
            delivery: required(answer.delivery).ctx("delivery")?.try_into()?,
            all_attempts: answer.attempts.into_iter().map(Attempt::try_from).collect::<Result<_, _>>()?,
            body: answer.body,
            signing_secret: said(answer.signing_secret),
            header_names: answer.header_names,
        })
    }
}

impl View for Shown {
    fn render(&self, look: &Look) -> String {
        let Delivery { id, endpoint, state, slug, version, dead_reason, due_at, .. } = &self.delivery;
        let why = dead_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let due = due_at.map(|due| format!(", due {}", look.time(due))).unwrap_or_default();
        let mut text = format!("{} {state}{why}{due}\n", look.strong(id));
        text.push_str(&format!("to {endpoint}, from {slug}@{version}\n{}\n", self.body));
        if !self.all_attempts.is_empty() {
            let mut table = Table::new(&["ATTEMPT", "ANSWER", "TOOK"]);
            for attempt in &self.all_attempts {
                let took = duration(attempt.duration_ms.saturating_mul(1_000));
                table.row([Cell::new(look.time(attempt.at)), Cell::new(attempt.told()), Cell::new(took)]);
            }
            text.push_str(&table.render(look));
        }
        text
    }
}

/// What `delivery resend` tells: the delivery.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Resent(pub(crate) Delivery);

impl View for Resent {
    fn render(&self, look: &Look) -> String {
        format!("{} delivery {} is sent again to {}\n", look.good("✓"), look.strong(&self.0.id), self.0.endpoint)
    }
}

/// `{endpoint, made_at, enabled, disabled_at | null, status | null, delivery | null, etag}`
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Endpoint {
    endpoint: String,
    made_at: Timestamp,
    enabled: bool,
    disabled_at: Option<Timestamp>,
    status: Option<u32>,
    delivery: Option<String>,
    etag: String,
}

impl TryFrom<control::Endpoint> for Endpoint {
    type Error = Stop;

    fn try_from(endpoint: control::Endpoint) -> Result<Endpoint, Stop> {
        Ok(Endpoint {
            made_at: required(endpoint.made_at).and_then(timestamp).ctx("made_at")?,
            enabled: endpoint.enabled,
            disabled_at: endpoint.disabled_at.map(timestamp).transpose().ctx("disabled_at")?,
            status: (endpoint.status != 0).then_some(endpoint.status),
            delivery: said(endpoint.delivery),
            etag: endpoint.etag,
            endpoint: endpoint.endpoint,
        })
    }
}

impl Entry for Endpoint {
    const NONE: &'static str = "Nothing was delivered anywhere yet.";
    const COLUMNS: &'static [&'static str] = &["ENDPOINT", "STATE", "SINCE", "ANSWERED"];

    fn row(&self, look: &Look) -> Vec<Cell> {
        let state = if self.enabled { Cell::new("enabled").good() } else { Cell::new("disabled").bad() };
        vec![
            Cell::new(&self.endpoint),
            state,
            Cell::new(look.time(self.disabled_at.unwrap_or(self.made_at))),
            Cell::new(self.status.map_or("-".to_owned(), |status| status.to_string())),
        ]
    }
}

/// What `delivery enable` tells: the endpoint.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EndpointEnabled(pub(crate) Endpoint);

impl View for EndpointEnabled {
    fn render(&self, look: &Look) -> String {
        format!("{} endpoint {} is enabled\n", look.good("✓"), look.strong(&self.0.endpoint))
    }
}
