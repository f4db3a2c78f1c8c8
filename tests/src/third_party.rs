//! Somebody else's API: an HTTPS server on loopback under an authority of its own, which remembers what it was asked.

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use serde_json::Value;
use std::{
    future, io,
    net::Ipv4Addr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::oneshot,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The host that it answers for. Every machine resolves it.
pub const HOST: &str = "localhost";

/// A request whose path begins with this is answered once two of them are here: who asks one after the other gets a 408.
pub const TOGETHER: &str = "/together/";

/// A request whose path begins with this is answered with the status that follows: `/status/503/any`.
pub const STATUS: &str = "/status/";
/// A request whose path begins with this is never answered.
pub const SILENCE: &str = "/silence/";
/// A request whose path begins with this is hung up on.
pub const HANG_UP: &str = "/hang-up/";

/// How long the first of two waits for the second: less than a run may take.
const RENDEZVOUS: Duration = Duration::from_secs(3);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path and the query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Asked {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

struct Seen {
    connections: AtomicUsize,
    asked: Mutex<Vec<Asked>>,
    /// Who waits for another, of two that are answered together.
    waiting: Mutex<Option<oneshot::Sender<()>>>,
    answer: String,
    header: String,
}

/// See the [module](self). It ends when this is dropped.
pub struct ThirdParty {
    port: u16,
    authority: CertifiedIssuer<'static, KeyPair>,
    seen: Arc<Seen>,
    runtime: Option<Runtime>,
}

impl ThirdParty {
    /// Starts one that answers everything with this JSON, and with `header` as the header `x-answer`.
    pub fn start(answer: &Value, header: &str) -> ThirdParty {
        let authority = authority();
        let acceptor = acceptor(&authority);
        let seen = Arc::new(Seen {
            connections: AtomicUsize::new(0),
            asked: Mutex::default(),
            waiting: Mutex::default(),
            answer: answer.to_string(),
            header: header.to_owned(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(serve(listener, acceptor, Arc::clone(&seen)));
        ThirdParty { port, authority, seen, runtime: Some(runtime) }
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.port)
    }

    /// The settings of an executor that trusts its authority, whose certificate is put into the folder, and that lets it be asked
    /// where its address is in one of these networks. A connection may take as long as a run.
    pub fn settings(&self, folder: &Path, networks: &[&str]) -> String {
        let ca_file = folder.join("ca.pem");
        std::fs::write(&ca_file, self.authority.pem()).unwrap();
        let mut settings = format!(
            "[egress]\nca_file = {ca_file:?}\nnative_roots = false\nconnect_timeout_ms = 20000\ndns_timeout_ms = 20000\n"
        );
        for network in networks {
            let entry = format!("host = \"{HOST}\"\ncidr = \"{network}\"\nport = {}\n", self.port);
            settings.push_str("[[egress.allow]]\n");
            settings.push_str(&entry);
        }
        settings
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Relaxed)
    }

    /// What it was asked since this was called last.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.seen.asked.lock().unwrap())
    }

    /// A connection by nothing but hyper, to measure against.
    pub async fn connect(&self) -> Bare {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.der().to_vec())).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        Bare { sender, host: format!("{HOST}:{}", self.port) }
    }
}

impl Drop for ThirdParty {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One connection that is kept.
pub struct Bare {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    host: String,
}

impl Bare {
    /// Asks and reads the whole answer.
    pub async fn get(&mut self, path: &str) -> Bytes {
        let request = Request::get(path).header("host", &self.host).body(Full::default()).unwrap();
        self.sender.ready().await.unwrap();
        self.sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, seen: Arc<Seen>) {
    loop {
        let Ok((tcp, _)) = listener.accept().await else { return };
        seen.connections.fetch_add(1, Relaxed);
        tcp.set_nodelay(true).unwrap();
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            // Who goes away half way has no more to say.
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let service = service_fn(move |request| respond(request, Arc::clone(&seen)));
            let _gone = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
        });
    }
}

async fn respond(request: Request<Incoming>, seen: Arc<Seen>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let target = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let together = target.starts_with(TOGETHER);
    let told =
        target.strip_prefix(STATUS).and_then(|rest| rest.split('/').next()).map(|status| status.parse().unwrap());
    let (silent, hangs_up) = (target.starts_with(SILENCE), target.starts_with(HANG_UP));
    let asked = Asked { target, headers: headers.collect(), body: String::from_utf8_lossy(&body).into_owned() };
    seen.asked.lock().unwrap().push(asked);
    if silent {
        return future::pending().await;
    }
    if hangs_up {
        return Err(io::Error::other("hung up on, as it is meant"));
    }
    let alone = together && !meets_another(&seen).await;
    let status: u16 = told.unwrap_or(if alone { 408 } else { 200 });
    let mut response =
        Response::builder().status(status).header("content-type", "application/json").header("x-answer", &seen.header);
    if (300..400).contains(&status) {
        response = response.header("location", "/elsewhere");
    }
    // A 204 has no body.
    let body = if status == 204 { Full::default() } else { Full::from(seen.answer.clone()) };
    Ok(response.body(body).unwrap())
}

/// Whether another request was here at the same time. One that was given up meanwhile is none.
async fn meets_another(seen: &Seen) -> bool {
    let met = {
        let mut waiting = seen.waiting.lock().unwrap();
        if waiting.take().is_some_and(|other| other.send(()).is_ok()) {
            return true;
        }
        let (tell, met) = oneshot::channel();
        *waiting = Some(tell);
        met
    };
    tokio::time::timeout(RENDEZVOUS, met).await.is_ok_and(|met| met.is_ok())
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "tests");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn acceptor(authority: &CertifiedIssuer<'static, KeyPair>) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
