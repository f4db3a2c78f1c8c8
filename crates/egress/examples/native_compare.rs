//! What asking through Egress costs over asking by hand: the same GET to the same server on loopback, over one warm TLS
//! connection each, in turns. Prints the medians in microseconds, their ratio and their difference.
//!
//! `cargo run --release -p sluice-egress --example native_compare`

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, ServerName},
};
use sluice_egress::{AllowEntry, Attempts, Caller, Egress, EgressConfig};
use sluice_model::http::{HostPattern, HttpRequest, RedirectPolicy};
use std::{convert::Infallible, error::Error, io::Write, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const ROUNDS: usize = 5000;
const WARM: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async { tokio::spawn(compare()).await? }).map_err(|error| error.to_string().into())
}

async fn compare() -> Result<(), Box<dyn Error + Send + Sync>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &ca)?;
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(server))));

    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(ca.pem().as_bytes())?;
    let config = EgressConfig {
        allow: vec![
            AllowEntry {
                host: "localhost".to_owned(),
                cidr: "127.0.0.0/8".parse()?,
                port: Some(address.port()),
                http: false,
            },
            AllowEntry {
                host: "localhost".to_owned(),
                cidr: "::1/128".parse()?,
                port: Some(address.port()),
                http: false,
            },
        ],
        ca_file: Some(file.path().into()),
        native_roots: false,
        ..EgressConfig::default()
    };
    let egress = Egress::new(&config)?;
    let caller = Caller { tenant: "acme".parse()?, slug: "greet".parse()?, version: "1.0.0".parse()? };
    let hosts = [HostPattern::parse("localhost").map_err(|error| error.message)?];
    let request = HttpRequest {
        method: "GET".to_owned(),
        url: format!("https://localhost:{}/path?query", address.port()).parse()?,
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: None,
        redirect: RedirectPolicy::Follow,
    };

    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone())?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let tls = TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("localhost")?, tcp).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
    tokio::spawn(connection);

    let (mut bare, mut through) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    let attempts = Attempts::new();
    for round in 0..WARM + ROUNDS {
        let began = Instant::now();
        sender.ready().await?;
        let asked = Request::get("/path?query")
            .header("host", format!("localhost:{}", address.port()))
            .header("accept", "application/json")
            .body(Full::new(Bytes::new()))?;
        sender.send_request(asked).await?.into_body().collect().await?;
        let took = began.elapsed();
        if round >= WARM {
            bare.push(took);
        }

        let began = Instant::now();
        let deadline = began + Duration::from_secs(5);
        egress.fetch(&caller, &hosts, request.clone(), deadline, &attempts).await?;
        let took = began.elapsed();
        if round >= WARM {
            through.push(took);
        }
        attempts.take();
    }
    bare.sort_unstable();
    through.sort_unstable();
    let us = |times: &[Duration], share: usize| times[times.len() * share / 100].as_secs_f64() * 1e6;
    let mut out = std::io::stdout().lock();
    for share in [50, 90, 99] {
        let (bare, through) = (us(&bare, share), us(&through, share));
        let more = through - bare;
        writeln!(
            out,
            "p{share}: bare {bare:.1} us, egress {through:.1} us, ratio {:.2}, more {more:.1} us",
            through / bare
        )?;
    }
    Ok(())
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((tcp, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if tcp.set_nodelay(true).is_err() {
                return;
            }
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let answer =
                service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{}")))) });
            // A client that goes is the end of it.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), answer).await;
        });
    }
}
