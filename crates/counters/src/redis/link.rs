//! The connection: one, multiplexed, made when it is needed and made anew when it is lost.
//!
//! The driver's own manager keeps a connection on which nothing comes back any more (a host that is gone without a word, a
//! server that hangs) until the kernel gives it up, a quarter of an hour later. Here an operation that had its whole time
//! and got no answer lets go of the connection, too; those that wait on it go on waiting until their own time is over.

use crate::backend::Why;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind,
    aio::MultiplexedConnection,
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

type Connecting = Shared<BoxFuture<'static, Result<MultiplexedConnection, Why>>>;

pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    /// The connection, made or being made, with its number.
    current: Mutex<Option<(u64, Connecting)>>,
    connections: AtomicU64,
}

impl Link {
    /// Does not connect. `connect_within` bounds making a connection, names and passwords included.
    pub(super) fn new(url: &str, connect_within: Duration) -> Result<Link, String> {
        if url.starts_with("rediss:") || url.starts_with("valkeys:") {
            return Err("url: TLS (rediss) is not built in; takes redis://host or redis+unix:///path".to_owned());
        }
        // The driver's own words could name what is in the URL.
        let client = Client::open(url)
            .map_err(|_| "url: takes redis://[user:password@]host[:port][/db] or redis+unix:///path".to_owned())?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_within.max(Duration::from_millis(250))))
            // Each operation has its own bound.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(1_024);
        Ok(Link { client, config, current: Mutex::new(None), connections: AtomicU64::new(0) })
    }

    /// Connections that were begun.
    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// One command, and `otherwise` where it names a script that the server does not know. `whole`: silence until `by` says
    /// something of the connection, and not only of a caller in a hurry.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        otherwise: Option<&Cmd>,
        by: Instant,
        whole: bool,
    ) -> Result<T, Why> {
        let (number, connecting) = self.connect();
        let asked = async {
            let mut connection = connecting.await?;
            let mut result = command.query_async(&mut connection).await;
            if let (Err(e), Some(otherwise)) = (&result, otherwise)
                && e.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
            {
                result = otherwise.query_async(&mut connection).await;
            }
            result.map_err(|e| translate(&e))
        };
        let result = timeout_at(by, asked).await.unwrap_or(Err(Why::Timeout));
        match &result {
            Ok(_) => {}
            Err(Why::Timeout) if !whole => {}
            Err(_) => self.forget(number),
        }
        result
    }

    fn connect(&self) -> (u64, Connecting) {
        let mut current = self.current.lock();
        if let Some((number, connecting)) = &*current {
            return (*number, connecting.clone());
        }
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let (client, config) = (self.client.clone(), self.config.clone());
        let connecting = async move {
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(|e| translate(&e))
        }
        .boxed()
        .shared();
        // It goes on, and is of use to the next, when whoever asked first has no more time.
        tokio::spawn(connecting.clone());
        *current = Some((number, connecting.clone()));
        (number, connecting)
    }

    /// Lets go of a connection, if it is still the one with this number.
    fn forget(&self, number: u64) {
        let mut current = self.current.lock();
        if current.as_ref().is_some_and(|(is, _)| *is == number) {
            *current = None;
        }
    }
}

/// The one place where the driver's errors are translated. Their text stays here: only the kind and the server's code (such
/// as `NOAUTH`) are logged.
fn translate(error: &RedisError) -> Why {
    let why = if error.is_timeout() {
        Why::Timeout
    } else if error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED"))
    {
        Why::Credentials
    } else if error.is_io_error() || error.is_connection_dropped() || error.is_connection_refusal() {
        Why::Connection
    } else {
        Why::Server
    };
    tracing::debug!(kind = ?error.kind(), code = error.code(), %why, "an operation on Redis failed");
    why
}
