//! Events of a session as the parts of a state: cut so that none is larger than a message may be.

use crate::distribution::{Event, Name, Resource};
use prost::Message as _;
use sluice_api::convert;
use sluice_api::distribution::v1::{self as wire, resource, resource_name, watch_response};

/// A part is at most 256 KiB, far below the 1 MiB that it may be: as messages in memory it takes ten times as much, of every
/// executor that is told everything at one moment.
const MAX_PART_BYTES: usize = 256 << 10;

/// The state that is being made.
#[derive(Default)]
pub(super) struct Parts {
    part: wire::State,
    bytes: usize,
}

impl Parts {
    /// What an event makes ready to be sent.
    pub(super) fn take(&mut self, event: Event) -> Option<wire::WatchResponse> {
        match event {
            Event::Begin { cursor, base, connected } => {
                self.part = wire::State {
                    cursor,
                    full: base.is_none(),
                    base_cursor: base.unwrap_or_default(),
                    connected_executors: connected,
                    ..wire::State::default()
                };
                self.bytes = 0;
                None
            }
            Event::Upsert(resource) => {
                let resource = to_wire(&resource);
                let ready = self.make_room(resource.encoded_len());
                self.part.upserts.push(resource);
                ready
            }
            Event::Remove(name) => {
                let name = to_wire_name(name);
                let ready = self.make_room(name.encoded_len());
                self.part.removals.push(name);
                ready
            }
            Event::End => {
                self.part.last = true;
                Some(state(std::mem::take(&mut self.part)))
            }
            Event::Status { connected, cursor } => {
                let status = wire::Status { connected_executors: connected, cursor };
                Some(wire::WatchResponse { message: Some(watch_response::Message::Status(status)) })
            }
        }
    }

    /// The part so far, where `bytes` more do not fit into it.
    fn make_room(&mut self, bytes: usize) -> Option<wire::WatchResponse> {
        // A tag and a length stand before each.
        let bytes = bytes + 8;
        self.bytes += bytes;
        let empty = self.part.upserts.is_empty() && self.part.removals.is_empty();
        if empty || self.bytes <= MAX_PART_BYTES {
            return None;
        }
        self.bytes = bytes;
        let next = wire::State { part: self.part.part + 1, upserts: Vec::new(), removals: Vec::new(), ..self.part };
        Some(state(std::mem::replace(&mut self.part, next)))
    }
}

fn state(state: wire::State) -> wire::WatchResponse {
    wire::WatchResponse { message: Some(watch_response::Message::State(state)) }
}

/// A resource as executors get it.
pub(super) fn to_wire(resource: &Resource) -> wire::Resource {
    let resource = match resource {
        Resource::Tenant(tenant, counters_key) => resource::Resource::Tenant(wire::TenantState {
            tenant: tenant.tenant.to_string(),
            allowed_redirect_origins: tenant.redirect_origins.clone(),
            break_glass: tenant.break_glass,
            counters_key: counters_key.to_vec().into(),
        }),
        Resource::Version(version) => resource::Resource::Version((&**version).into()),
        Resource::Secret { tenant, name, version, value } => resource::Resource::Secret(wire::SecretState {
            tenant: tenant.to_string(),
            name: name.clone(),
            version: *version,
            value: value.expose().to_owned().into(),
        }),
        Resource::Revision { revision, expires_at } => {
            let etag = crate::flows::etag_of(revision);
            resource::Resource::FlowRevision(wire::FlowRevision {
                flow: Some(sluice_api::types::v1::Flow { etag, ..revision.clone().into() }),
                newest: expires_at.is_none(),
                expires_at: expires_at.map(convert::to_timestamp),
            })
        }
    };
    wire::Resource { resource: Some(resource) }
}

fn to_wire_name(name: Name) -> wire::ResourceName {
    let name = match name {
        Name::Tenant(tenant) => resource_name::Name::Tenant(wire::TenantName { tenant: tenant.to_string() }),
        Name::Secret(tenant, name) => {
            resource_name::Name::Secret(wire::SecretName { tenant: tenant.to_string(), name })
        }
    };
    wire::ResourceName { name: Some(name) }
}
