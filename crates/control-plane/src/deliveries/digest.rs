//! One message of Slack for many that were over the pace.

use super::rows::Delivery;
use serde_json::json;

/// The most deliveries of one message: what becomes of them is one commit, of five writes each.
pub(super) const MOST: usize = 500;

/// What is sent in their place.
pub(super) fn body(deliveries: &[Delivery]) -> String {
    let since = deliveries.iter().map(|delivery| delivery.made_at).min().unwrap_or_default();
    let text = format!("{} more since {} UTC", deliveries.len(), since.strftime("%H:%M:%S"));
    json!({ "text": text, "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": text } }] }).to_string()
}
