//! The floor: tonic as it comes, with its own codec and no layer, and a handler that has its answer ready. It decodes every
//! request and encodes every answer, since no server of these messages can do without.

use crate::{
    screen::{Look, Screen, View},
    stop::{Stop, in_words},
};
use prost::Message as _;
use serde::Serialize;
use sluice_api::{
    executor::v1::{ExecuteRequest, ExecuteResponse, execution_service_server::SERVICE_NAME},
    types::v1 as wire,
};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, http},
    server::{Grpc, NamedService, UnaryService},
    transport::server::TcpIncoming,
};
use tonic_prost::ProstCodec;
use tower::Service;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The address to serve on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7079")]
    listen: SocketAddr,
    /// An encoded ExecuteResponse to answer with; without it one like that of a small Action
    #[arg(long, value_name = "FILE")]
    answer: Option<PathBuf>,
    /// End when standard input ends
    #[arg(long, hide = true)]
    until_end_of_input: bool,
}

/// `{address}`
#[derive(Debug, Serialize)]
struct Serving {
    address: SocketAddr,
}

impl View for Serving {
    fn render(&self, _: &Look) -> String {
        format!("the floor is on {}\n", self.address)
    }
}

/// Answers everything in the same way.
#[derive(Clone, Debug)]
struct Floor {
    answer: Arc<ExecuteResponse>,
}

impl NamedService for Floor {
    const NAME: &'static str = SERVICE_NAME;
}

impl UnaryService<ExecuteRequest> for Floor {
    type Response = ExecuteResponse;
    type Future = Ready<Result<Response<ExecuteResponse>, Status>>;

    fn call(&mut self, request: Request<ExecuteRequest>) -> Self::Future {
        // The request is decoded by now; that it is dropped here belongs to its cost.
        drop(request.into_inner());
        ready(Ok(Response::new(ExecuteResponse::clone(&self.answer))))
    }
}

// By hand, where the generated server would bring our codec.
impl Service<http::Request<Body>> for Floor {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let floor = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(floor, request).await) })
    }
}

pub(crate) async fn run(args: Args, screen: &Screen) -> Result<(), Stop> {
    let answer = match &args.answer {
        None => usual_answer(),
        Some(path) => {
            let bytes = crate::file::read("--answer", path)?;
            ExecuteResponse::decode(bytes.as_slice())
                .map_err(|e| Stop::misused("--answer", format!("no encoded ExecuteResponse: {e}")))?
        }
    };
    let refused = |e: std::io::Error| {
        Stop::local("ADDRESS_NOT_AVAILABLE", format!("--listen: {}: {}", args.listen, in_words(&e)))
    };
    let listener = TcpListener::bind(args.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    screen.show(&Serving { address });
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_service(Floor { answer: Arc::new(answer) });
    tokio::select! {
        served = server.serve_with_incoming(incoming) => {
            served.map_err(|e| Stop::local("FLOOR_FAILED", format!("the floor ended: {e}")))
        }
        () = end_of_input(args.until_end_of_input) => Ok(()),
    }
}

/// Ends with the parent, however that ends.
async fn end_of_input(asked: bool) {
    if !asked {
        return std::future::pending().await;
    }
    let (ended, input) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let copied = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        // Who would hear it has ended too, if nobody does.
        let _heard = ended.send(copied);
    });
    let _input = input.await;
}

/// What an allow list answers that let somebody in.
fn usual_answer() -> ExecuteResponse {
    let outcome = wire::Outcome {
        decision: Some(wire::outcome::Decision::Continue(wire::Continue {})),
        ..wire::Outcome::default()
    };
    ExecuteResponse {
        verdict: wire::OutcomeKind::Continue.into(),
        state: Some(prost_types::Struct::default()),
        pending: Some(wire::Pending::default()),
        flow_revision: 2,
        execution_id: "0198c0de-0000-7000-8000-000000000000".to_owned(),
        results: vec![wire::RunResult {
            attachment: "0198c0de-0000-7000-8000-000000000001".to_owned(),
            slug: "domain-allowlist".to_owned(),
            version: "1.0.0".to_owned(),
            result: Some(wire::run_result::Result::Outcome(outcome)),
            cpu_us: 61,
            wall_us: 62,
            memory_bytes: 1_310_720,
            logs: Vec::new(),
        }],
        ..ExecuteResponse::default()
    }
}
