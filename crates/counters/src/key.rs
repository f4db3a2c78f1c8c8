//! Keys: what a backend sees instead of the Action's key, and the name of a call.
//!
//! A key is HMAC-SHA-256 under the tenant's key of a purpose and of parts, each preceded by its length, so that no two
//! lists of parts are the same bytes. A counter is named by (tenant, scope, algorithm, window, key): what an Action counts by
//! the minute and what it counts by the day under one key are two counters, or each would begin the other anew. Kv is
//! named by (tenant, slug, key).

use aws_lc_rs::{digest, hmac};
use sluice_model::counter::{Algorithm, Take};
use std::fmt::{self, Write as _};

/// Names what is derived here and how; another way of naming takes another word.
const PURPOSE: &str = "sluice.counters.v1";

/// The name of a counter or of a value. Holds nothing of the Action's key that could be read back without the tenant's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    tenant: u64,
    name: [u8; 32],
}

impl Key {
    /// A mark of the tenant, equal for all of its keys: by it memory is shared out fairly.
    pub fn tenant(&self) -> u64 {
        self.tenant
    }

    /// The name, by which keys are told apart.
    pub fn name(&self) -> &[u8; 32] {
        &self.name
    }

    /// `TENANT:{NAME}` in hexadecimal, 83 bytes: all that belongs to one key has one hash tag, and so one node of a cluster.
    pub(crate) fn write_tagged(&self, text: &mut String) {
        _ = write!(text, "{:016x}:{{", self.tenant);
        write_hex(&self.name, text);
        text.push('}');
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(83);
        self.write_tagged(&mut text);
        f.write_str(&text)
    }
}

fn write_hex(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
    }
}

/// Who shares a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared<'a> {
    /// The runs of the attachment with this id.
    Attachment(&'a str),
    /// The runs of the flow with this slug.
    Flow(&'a str),
    /// The runs of the tenant.
    Tenant,
}

/// Makes the keys of one tenant. Cheap to keep and to clone; made once for a tenant, it saves a quarter of each derivation.
#[derive(Clone)]
pub struct KeyMaker {
    key: hmac::Key,
    tenant: u64,
}

impl fmt::Debug for KeyMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMaker").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl KeyMaker {
    /// For a tenant, by its id and its key. Two tenants never share a key, even where they have been given the same secret.
    pub fn new(tenant: &str, tenant_key: &[u8; 32]) -> KeyMaker {
        let root = hmac::Key::new(hmac::HMAC_SHA256, tenant_key);
        let own = sign(&root, &[b"tenant", tenant.as_bytes()]);
        let mark = sign(&root, &[b"mark", tenant.as_bytes()]);
        let tenant = u64::from_be_bytes([mark[0], mark[1], mark[2], mark[3], mark[4], mark[5], mark[6], mark[7]]);
        KeyMaker { key: hmac::Key::new(hmac::HMAC_SHA256, &own), tenant }
    }

    /// A mark of the tenant; see [`Key::tenant`].
    pub fn tenant(&self) -> u64 {
        self.tenant
    }

    /// The key of a counter. `shared` is what [`Take::scope`] means in this run; of the take, the key, the algorithm and the
    /// window name it.
    pub fn counter(&self, shared: Shared<'_>, take: &Take) -> Key {
        let (scope, id) = match shared {
            Shared::Attachment(id) => ("attachment", id),
            Shared::Flow(slug) => ("flow", slug),
            Shared::Tenant => ("tenant", ""),
        };
        let algorithm = match take.algorithm {
            Algorithm::SlidingWindow => "sliding_window",
            Algorithm::TokenBucket => "token_bucket",
        };
        self.derive(&[
            b"counter",
            scope.as_bytes(),
            id.as_bytes(),
            algorithm.as_bytes(),
            &take.window_s.to_be_bytes(),
            take.key.as_bytes(),
        ])
    }

    /// The key of a value of kv, which the versions of an Action share: by its slug and the Action's key.
    pub fn kv(&self, slug: &str, key: &str) -> Key {
        self.derive(&[b"kv", slug.as_bytes(), key.as_bytes()])
    }

    fn derive(&self, parts: &[&[u8]]) -> Key {
        Key { tenant: self.tenant, name: sign(&self.key, parts) }
    }
}

/// HMAC-SHA-256 of the purpose and the parts, each after its length as four bytes.
fn sign(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in std::iter::once(PURPOSE.as_bytes()).chain(parts.iter().copied()) {
        context.update(&length(part));
        context.update(part);
    }
    fixed(context.sign().as_ref())
}

fn length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes()
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut fixed = [0; N];
    fixed.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    fixed
}

/// The name of one call: the same one, sent again, is answered alike and counts once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId([u8; 16]);

impl CallId {
    /// Call number `call` of the run of an attachment in an execution.
    pub fn new(execution_id: &str, attachment: &str, call: u32) -> CallId {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [execution_id.as_bytes(), attachment.as_bytes()] {
            context.update(&length(part));
            context.update(part);
        }
        context.update(&call.to_be_bytes());
        CallId(fixed(context.finish().as_ref()))
    }

    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// In hexadecimal, 32 bytes.
    pub(crate) fn write(&self, text: &mut String) {
        write_hex(&self.0, text);
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(32);
        self.write(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests;
