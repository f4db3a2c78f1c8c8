//! Somebody who receives deliveries: an HTTP server on loopback, which remembers all that came, fails at some of it the first time,
//! and answers nobody while it is told to hold.

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    collections::HashSet,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};
use tokio::{net::TcpListener, sync::watch};

/// The host that it answers for. Every machine resolves it.
const HOST: &str = "localhost";

/// Of so many messages one is answered 500 and one is hung up on, when they come first.
const ONE_OF: usize = 10;

/// What it did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// It answered 200.
    Accepted,
    /// It answered 500.
    Failed,
    /// It closed the connection, without an answer.
    HungUp,
    /// It did not answer, and closed the connection when it was told to go on.
    Held,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When.
    pub at: SystemTime,
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// `webhook-signature`.
    pub signature: String,
    /// The body.
    pub body: String,
    /// What the body says, as JSON.
    pub message: Value,
    /// What became of it.
    pub did: Did,
}

/// What the handlers of all connections share.
struct Shared {
    seen: Mutex<Seen>,
    /// Changes with each request.
    told: watch::Sender<usize>,
    holding: watch::Sender<bool>,
}

#[derive(Default)]
struct Seen {
    received: Vec<Received>,
    ids: HashSet<String>,
    /// New ones that were not held.
    firsts: usize,
}

/// See the [module](self). It ends with the runtime of the test.
pub struct Receiver {
    port: u16,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Starts one.
    pub async fn start() -> Receiver {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared { seen: Mutex::default(), told: watch::Sender::new(0), holding: watch::Sender::new(false) };
        let shared = Arc::new(shared);
        tokio::spawn(serve(listener, Arc::clone(&shared)));
        Receiver { port, shared }
    }

    /// A URL of it.
    pub fn url(&self) -> String {
        format!("http://{HOST}:{}/hook", self.port)
    }

    /// The host of its URL, as an Action declares it.
    pub fn host(&self) -> &'static str {
        HOST
    }

    /// The settings of a server that may send to it by plain http. A connection may take as long as there is.
    pub fn settings(&self) -> String {
        let mut settings = "[egress]\nconnect_timeout_ms = 20000\ndns_timeout_ms = 20000\n".to_owned();
        // On many machines the host has an address of IPv6 too, where nobody listens.
        for network in ["127.0.0.1/32", "::1/128"] {
            let entry = format!("host = \"{HOST}\"\ncidr = \"{network}\"\nport = {}\nhttp = true\n", self.port);
            settings.push_str("[[egress.allow]]\n");
            settings.push_str(&entry);
        }
        settings
    }

    /// From now on nobody is answered.
    pub fn hold(&self) {
        self.shared.holding.send_replace(true);
    }

    /// Goes on; what was held is hung up on.
    pub fn go_on(&self) {
        self.shared.holding.send_replace(false);
    }

    /// Everything that came so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.seen().received.clone()
    }

    /// How often it did this.
    pub fn count(&self, did: Did) -> usize {
        self.shared.seen().received.iter().filter(|received| received.did == did).count()
    }

    /// Waits until what came is as it has to be.
    ///
    /// # Panics
    /// It is not so in time.
    pub async fn until(&self, what: &str, patience: Duration, mut is: impl FnMut(&[Received]) -> bool) {
        let mut told = self.shared.told.subscribe();
        let wait = async {
            while !is(&self.shared.seen().received) {
                told.changed().await.unwrap();
            }
        };
        let in_time = tokio::time::timeout(patience, wait).await;
        assert!(in_time.is_ok(), "not within {patience:?}: {what}; {} requests came", self.received().len());
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Notes what came, and says what is to be done with it. What failed once is taken the next time: the wait for a third attempt
    /// is longer than a test.
    fn note(&self, mut received: Received) -> Did {
        let mut seen = self.seen();
        let is_new = seen.ids.insert(received.id.clone());
        let did = if *self.holding.borrow() {
            Did::Held
        } else if is_new {
            seen.firsts += 1;
            match seen.firsts % ONE_OF {
                3 => Did::Failed,
                7 => Did::HungUp,
                _ => Did::Accepted,
            }
        } else {
            Did::Accepted
        };
        received.did = did;
        seen.received.push(received);
        drop(seen);
        self.told.send_modify(|requests| *requests += 1);
        did
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((tcp, _)) = listener.accept().await else { return };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(request, Arc::clone(&shared)));
            // Who is killed half way has no more to say, and who is hung up on hears no more.
            let _gone = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
        });
    }
}

async fn respond(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    // Half a body is no delivery.
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let header = |name: &str| {
        let value = head.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        value.unwrap_or_default()
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    let received = Received {
        at: SystemTime::now(),
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        message: serde_json::from_str(&body).unwrap_or_default(),
        body,
        did: Did::Accepted,
    };
    let status = match shared.note(received) {
        Did::Accepted => 200,
        Did::Failed => 500,
        Did::HungUp => return Err(std::io::Error::other("hung up on, as it is meant")),
        Did::Held => {
            let mut holding = shared.holding.subscribe();
            let _over = holding.wait_for(|holding| !holding).await;
            return Err(std::io::Error::other("held for too long, as it is meant"));
        }
    };
    Ok(Response::builder().status(status).body(Full::default()).unwrap())
}
