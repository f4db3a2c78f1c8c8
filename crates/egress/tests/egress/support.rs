//! Servers, names and certificates that the tests ask.

use async_trait::async_trait;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use sluice_egress::{AllowEntry, Attempts, Caller, Dialer, Egress, EgressConfig, NameScope, Resolver};
use sluice_model::http::{HostPattern, HttpAttempt, HttpError, HttpFailure, HttpRequest, HttpResponse, RedirectPolicy};
use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Nothing that is awaited takes this long, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

// Certificates.

pub(crate) struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
    foreign: CertifiedIssuer<'static, KeyPair>,
    pub(crate) ca_file: PathBuf,
    _folder: tempfile::TempDir,
}

pub(crate) static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let issuer = |name: &str| {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ca, foreign) = (issuer("tests"), issuer("somebody else"));
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, ca.pem()).unwrap();
    Pki { ca, foreign, ca_file, _folder: folder }
});

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cert {
    Good,
    Expired,
    NotYet,
    SelfSigned,
    Foreign,
}

/// A server's TLS with a certificate for these names.
pub(crate) fn acceptor(kind: Cert, names: &[&str]) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    if kind == Cert::Expired {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    }
    if kind == Cert::NotYet {
        params.not_before = date_time_ymd(3001, 1, 1);
        params.not_after = date_time_ymd(3002, 1, 1);
    }
    let certificate = match kind {
        Cert::SelfSigned => params.self_signed(&key).unwrap(),
        Cert::Foreign => params.signed_by(&key, &PKI.foreign).unwrap(),
        Cert::Good | Cert::Expired | Cert::NotYet => params.signed_by(&key, &PKI.ca).unwrap(),
    };
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

// Servers.

pub(crate) type Ended = Pin<Box<dyn Future<Output = Option<Conn>> + Send>>;

/// A server on loopback that counts its connections.
pub(crate) struct Server {
    pub(crate) port: u16,
    accepted: watch::Receiver<usize>,
    closed: watch::Receiver<usize>,
}

/// One connection of a server, whose handler says what goes over it.
pub(crate) struct Conn {
    io: Io,
    left: Vec<u8>,
    /// Which of the server's connections it is, from 0.
    pub(crate) nth: usize,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(prefix.as_str()))
    }
}

impl Conn {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match &self.io {
            Io::Plain(tcp) => tcp,
            Io::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Bytes that come, or nothing at the end, however the other side ends it.
    async fn read(&mut self) -> Vec<u8> {
        let mut some = vec![0; 64 << 10];
        let read = match &mut self.io {
            Io::Plain(tcp) => tcp.read(&mut some).await,
            Io::Tls(tls) => tls.read(&mut some).await,
        };
        some.truncate(read.unwrap_or(0));
        some
    }

    /// Sends as much as the other side takes; false when it has gone.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        let wrote: io::Result<()> = async {
            match &mut self.io {
                Io::Plain(tcp) => tcp.write_all(bytes).await,
                Io::Tls(tls) => {
                    tls.write_all(bytes).await?;
                    tls.flush().await
                }
            }
        }
        .await;
        wrote.is_ok()
    }

    /// The next request, with its body by its content-length.
    pub(crate) async fn request(&mut self) -> Option<Asked> {
        loop {
            if let Some(end) = self.left.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.left[..end].iter().map(|byte| char::from(*byte)).collect();
                let mut asked = Asked { head, body: Vec::new() };
                let length: usize = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
                if self.left.len() >= end + 4 + length {
                    asked.body = self.left[end + 4..end + 4 + length].to_vec();
                    self.left.drain(..end + 4 + length);
                    return Some(asked);
                }
            }
            let some = self.read().await;
            if some.is_empty() {
                return None;
            }
            self.left.extend(some);
        }
    }

    /// Ends it in order.
    pub(crate) async fn close(mut self) {
        match &mut self.io {
            Io::Plain(tcp) => _ = tcp.shutdown().await,
            Io::Tls(tls) => _ = tls.shutdown().await,
        }
    }

    async fn end(mut self) {
        while !self.read().await.is_empty() {}
    }
}

impl Server {
    /// A server that does with each TCP connection as `handle` says. A connection that it gives back is read to its end.
    pub(crate) async fn tcp(handle: impl Fn(Conn) -> Ended + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (accept, accepted) = watch::channel(0);
        let (close, closed) = watch::channel(0);
        let (handle, close) = (Arc::new(handle), Arc::new(close));
        tokio::spawn(async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else { return };
                tcp.set_nodelay(true).unwrap();
                let nth = *accept.borrow();
                accept.send_modify(|count| *count += 1);
                let (handle, close) = (handle.clone(), close.clone());
                tokio::spawn(async move {
                    if let Some(conn) = handle(Conn { io: Io::Plain(tcp), left: Vec::new(), nth }).await {
                        conn.end().await;
                    }
                    close.send_modify(|count| *count += 1);
                });
            }
        });
        Server { port, accepted, closed }
    }

    /// As [`Server::tcp`], behind TLS. A handshake that fails ends the connection.
    pub(crate) async fn tls(acceptor: TlsAcceptor, handle: impl Fn(Conn) -> Ended + Send + Sync + 'static) -> Server {
        let handle = Arc::new(handle);
        Server::tcp(move |conn| {
            let (acceptor, handle) = (acceptor.clone(), handle.clone());
            Box::pin(async move {
                let nth = conn.nth;
                let Io::Plain(tcp) = conn.io else { return None };
                let tls = acceptor.accept(tcp).await.ok()?;
                handle(Conn { io: Io::Tls(Box::new(tls)), left: Vec::new(), nth }).await
            })
        })
        .await
    }

    /// Behind TLS for the hosts of [`hosts`]: answers every request of every connection as `answer` says.
    pub(crate) async fn answering(answer: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Server {
        let answer = Arc::new(answer);
        Server::tls(good(), move |mut conn| {
            let answer = answer.clone();
            Box::pin(async move {
                while let Some(asked) = conn.request().await {
                    conn.write(answer(&asked)).await;
                }
                None
            })
        })
        .await
    }

    pub(crate) fn accepted(&self) -> usize {
        *self.accepted.borrow()
    }

    /// Waits until all but `open` of the connections so far have ended.
    pub(crate) async fn settled(&self, open: usize) {
        let accepted = self.accepted();
        let mut closed = self.closed.clone();
        timeout(PATIENCE, closed.wait_for(|closed| closed + open >= accepted))
            .await
            .expect("a connection stays open")
            .unwrap();
    }

    /// Waits for this many connections.
    pub(crate) async fn connected(&self, count: usize) {
        let mut accepted = self.accepted.clone();
        timeout(PATIENCE, accepted.wait_for(|accepted| *accepted >= count)).await.expect("nobody connects").unwrap();
    }
}

/// The certificate of the hosts that the tests declare.
pub(crate) fn good() -> TlsAcceptor {
    static GOOD: LazyLock<TlsAcceptor> = LazyLock::new(|| {
        acceptor(Cert::Good, &["api.example.com", "other.example.com", "*.wild.example.org", "127.0.0.1"])
    });
    GOOD.clone()
}

pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

pub(crate) fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

// Names and connections.

type Answer = Result<Vec<IpAddr>, ()>;

/// A resolver that answers what it was told, one answer after the other; the last for good. `Err` is never answered.
#[derive(Default)]
pub(crate) struct Names {
    answers: Mutex<HashMap<String, Vec<Answer>>>,
    asked: Mutex<Vec<(String, NameScope)>>,
}

impl Names {
    pub(crate) fn set(&self, name: &str, answers: Vec<Answer>) {
        self.answers.lock().unwrap().insert(name.to_owned(), answers);
    }

    pub(crate) fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }

    pub(crate) fn asked(&self) -> Vec<(String, NameScope)> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str, scope: NameScope) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push((name.to_owned(), scope));
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            match answers.get_mut(name) {
                Some(list) if list.len() > 1 => list.remove(0),
                Some(list) => list[0].clone(),
                None => Ok(vec![LOOPBACK]),
            }
        };
        match answer {
            Ok(addresses) => Ok(addresses),
            Err(()) => std::future::pending().await,
        }
    }
}

/// Counts the connections that are asked for, and makes those to loopback only.
#[derive(Default)]
pub(crate) struct Dials {
    dialed: Mutex<Vec<SocketAddr>>,
    /// Where connections to an address outside go instead.
    pub(crate) detour: Mutex<HashMap<SocketAddr, SocketAddr>>,
}

impl Dials {
    pub(crate) fn dialed(&self) -> Vec<SocketAddr> {
        self.dialed.lock().unwrap().clone()
    }
}

#[async_trait]
impl Dialer for Dials {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.dialed.lock().unwrap().push(address);
        let to = self.detour.lock().unwrap().get(&address).copied().unwrap_or(address);
        if !to.ip().is_loopback() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        TcpStream::connect(to).await
    }
}

// What is asked, and by whom.

pub(crate) struct World {
    pub(crate) egress: Egress,
    pub(crate) names: Arc<Names>,
    pub(crate) dials: Arc<Dials>,
}

pub(crate) fn allow(host: &str, port: u16) -> AllowEntry {
    AllowEntry { host: host.to_owned(), cidr: "127.0.0.1/32".parse().unwrap(), port: Some(port), http: false }
}

/// Trusts the tests' certificates only, and allows loopback on the ports of these servers.
pub(crate) fn config(servers: &[&Server]) -> EgressConfig {
    EgressConfig {
        allow: servers.iter().map(|server| allow("*", server.port)).collect(),
        ca_file: Some(PKI.ca_file.clone()),
        native_roots: false,
        connect_timeout_ms: 20_000,
        dns_timeout_ms: 20_000,
        ..EgressConfig::default()
    }
}

pub(crate) fn world(config: &EgressConfig) -> World {
    let (names, dials) = (Arc::new(Names::default()), Arc::new(Dials::default()));
    let egress = Egress::over(config, names.clone(), dials.clone()).unwrap();
    World { egress, names, dials }
}

pub(crate) fn caller(tenant: &str, slug: &str, version: &str) -> Caller {
    Caller { tenant: tenant.parse().unwrap(), slug: slug.parse().unwrap(), version: version.parse().unwrap() }
}

/// What the version of the tests declares.
pub(crate) fn hosts() -> Vec<HostPattern> {
    patterns(&["api.example.com", "other.example.com", "*.wild.example.org"])
}

pub(crate) fn patterns(hosts: &[&str]) -> Vec<HostPattern> {
    hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect()
}

pub(crate) fn get(url: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        url: url.parse().unwrap(),
        headers: Vec::new(),
        body: None,
        redirect: RedirectPolicy::Follow,
    }
}

pub(crate) fn post(url: &str, body: &str) -> HttpRequest {
    HttpRequest { method: "POST".to_owned(), body: Some(body.into()), ..get(url) }
}

/// As an Action's version does it, with time enough.
pub(crate) async fn ask(world: &World, request: HttpRequest) -> (Result<HttpResponse, HttpError>, Vec<HttpAttempt>) {
    ask_within(world, request, PATIENCE).await
}

pub(crate) async fn ask_within(
    world: &World,
    request: HttpRequest,
    time: Duration,
) -> (Result<HttpResponse, HttpError>, Vec<HttpAttempt>) {
    let attempts = Attempts::new();
    let caller = caller("acme", "greet", "1.0.0");
    let answer = world.egress.fetch(&caller, &hosts(), request, Instant::now() + time, &attempts).await;
    (answer, attempts.take())
}

/// The attempts without their times.
pub(crate) fn seen(attempts: &[HttpAttempt]) -> Vec<(&str, Option<u16>, Option<HttpFailure>)> {
    attempts.iter().map(|attempt| (attempt.host.as_str(), attempt.status, attempt.failure)).collect()
}

pub(crate) fn url(server: &Server, path: &str) -> String {
    format!("https://api.example.com:{}{path}", server.port)
}
