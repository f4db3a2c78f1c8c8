//! Every outgoing byte that a tenant can cause.
//!
//! An [`Egress`] takes one request at a time ([`Egress::fetch`]) and sends it where it may go and nowhere else. What may be
//! asked for is checked by words first: the method, the headers, the URL, and that the version declares its host
//! (`target.rs`, `outgoing.rs`). Then the host's name is resolved, once, every address that it has is checked (`address.rs`,
//! `allow.rs`), and the connection goes to one of those addresses and never to the name again (`connect.rs`), so that a name
//! that changes its mind changes nothing. Every hop of a redirect begins anew. TLS is verified for the name; HTTP is 1.1, by
//! hyper, within the bounds of [`sluice_model::http`].
//!
//! A connection is nobody's task: the request that has it drives it (`link.rs`), so that dropping the request closes the
//! socket. One whose answer was read whole waits in the pool for its own caller: the same version of the same Action of the
//! same tenant (`pool.rs`). How many are under way is bounded for each tenant and in all (`places.rs`), and so are names that
//! are being looked up.
//!
//! Each attempt is written into [`Attempts`], and traced: its host, its status, how long it took, and nothing else of it.
//!
//! Left to others: which hosts a version declares or was granted, how many requests a run may make, what the author sees of
//! an error, and what of an attempt is audited.

mod address;
mod allow;
mod answer;
mod attempt;
mod config;
mod connect;
mod fetch;
mod link;
mod outgoing;
mod places;
mod pool;
mod resolve;
mod target;
mod tls;

pub use attempt::Attempts;
pub use config::{AllowEntry, ConfigError, EgressConfig, Rule};
pub use connect::{Dialer, TcpDialer};
pub use fetch::{Caller, Egress};
pub use resolve::{NameScope, Resolver, SystemResolver};
