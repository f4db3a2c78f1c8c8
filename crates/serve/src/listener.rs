//! A bound port, which is refused where strangers could reach it.

use std::net::SocketAddr;

/// The connections that the kernel holds for us until they are accepted.
const BACKLOG: u32 = 1024;

/// Why a port is not bound.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is not loopback.
    #[error(
        "{setting} = {address}: takes a loopback address such as 127.0.0.1:{port}: callers cannot prove yet who they are, so \
         nobody outside of this machine may reach the server", port = address.port()
    )]
    NotLoopback {
        /// The setting's dotted name.
        setting: String,
        /// The address.
        address: SocketAddr,
    },
    /// The operating system refuses.
    #[error("{setting} = {address}: cannot be bound: {source}")]
    Bind {
        /// The setting's dotted name.
        setting: String,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A bound port. Connections wait in the kernel until a server is spawned on it.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: tokio::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`, the value of `setting`; port 0 takes a free one. Call it inside a tokio runtime.
    pub fn bind(setting: &str, address: SocketAddr) -> Result<Listener, ListenError> {
        let setting = setting.to_owned();
        if !address.ip().is_loopback() {
            return Err(ListenError::NotLoopback { setting, address });
        }
        let bound = || {
            let socket =
                if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
            // A server that comes back at once must get its port again, though old connections linger.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?;
            let address = socket.local_addr()?;
            Ok(Listener { socket, address })
        };
        bound().map_err(|source| ListenError::Bind { setting, address, source })
    }

    /// The address that is bound, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
