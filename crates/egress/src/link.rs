//! One connection to one server. Nobody drives it but the request that has it: when that is dropped, so is the socket, at once
//! and with whatever was half sent or half read.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use sluice_model::http::{MAX_HTTP_HEADER_BYTES, MAX_HTTP_HEADERS};
use std::{
    future::{Future, poll_fn},
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::client::TlsStream;

/// What hyper holds of an answer's head: its headers, what is between them, and the line above.
const MAX_HEAD_BYTES: usize = MAX_HTTP_HEADER_BYTES + 4 * MAX_HTTP_HEADERS + (1 << 10);

type Body = Full<Bytes>;
type Http = Connection<TokioIo<Metered>, Body>;

pub(crate) struct Link {
    sender: SendRequest<Body>,
    driven: Driven,
    meter: Arc<Meter>,
    /// Where it goes.
    pub(crate) peer: IpAddr,
    /// When it was made.
    pub(crate) born: Instant,
}

struct Driven {
    /// `None` once it has ended.
    connection: Option<Pin<Box<Http>>>,
    /// Whether it ended by an error.
    broken: bool,
}

impl Driven {
    fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(connection) = &mut self.connection else { return };
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            self.connection = None;
            self.broken |= ended.is_err();
        }
    }

    /// Waits for `future`, which gets on only while the connection does.
    async fn until<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            self.poll(cx);
            future.as_mut().poll(cx)
        })
        .await
    }
}

impl Link {
    /// HTTP/1.1 on a stream that is connected. Nothing is sent yet.
    pub(crate) async fn new(stream: Stream, peer: IpAddr) -> hyper::Result<Link> {
        let meter = Arc::new(Meter::default());
        let io = TokioIo::new(Metered { stream, meter: meter.clone() });
        let mut builder = Builder::new();
        builder.max_headers(MAX_HTTP_HEADERS).max_buf_size(MAX_HEAD_BYTES);
        let (sender, connection) = builder.handshake(io).await?;
        let driven = Driven { connection: Some(Box::pin(connection)), broken: false };
        Ok(Link { sender, driven, meter, peer, born: Instant::now() })
    }

    /// Sends a request and waits for the head of its answer; what comes before it (1xx) is skipped.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Lost> {
        let (sent, received) = (self.meter.sent.load(Relaxed), self.meter.received.load(Relaxed));
        let answer = self.driven.until(self.sender.try_send_request(request)).await;
        answer.map_err(|error| Lost {
            untouched: self.meter.sent.load(Relaxed) == sent,
            silent: self.meter.received.load(Relaxed) == received,
            error: error.into_error(),
        })
    }

    /// Waits for `future`, a part of the answer's body.
    pub(crate) async fn until<F: Future>(&mut self, future: F) -> F::Output {
        self.driven.until(future).await
    }

    /// Polls `future` once: what has come already.
    pub(crate) fn at_once<F: Future + Unpin>(&mut self, mut future: F) -> Option<F::Output> {
        let mut cx = Context::from_waker(Waker::noop());
        self.driven.poll(&mut cx);
        match Pin::new(&mut future).poll(&mut cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Whether the connection ended by an error: what was read of it is not to be believed whole.
    pub(crate) fn is_broken(&self) -> bool {
        self.driven.broken
    }

    /// Whether another request can be sent, as far as is known: nothing of the last one is left over, and the server has
    /// neither ended it nor sent what nobody asked for.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.driven.poll(&mut Context::from_waker(Waker::noop()));
        self.driven.connection.is_some() && self.sender.is_ready()
    }
}

/// A request without an answer.
pub(crate) struct Lost {
    /// Not one byte of it was sent.
    pub(crate) untouched: bool,
    /// Not one byte came back.
    pub(crate) silent: bool,
    pub(crate) error: hyper::Error,
}

/// A connected stream.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Bytes of HTTP so far.
#[derive(Default)]
struct Meter {
    sent: AtomicU64,
    received: AtomicU64,
}

struct Metered {
    stream: Stream,
    meter: Arc<Meter>,
}

impl Metered {
    fn sent(&self, wrote: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = wrote {
            self.meter.sent.fetch_add(*bytes as u64, Relaxed);
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        self.meter.received.fetch_add((buf.filled().len() - before) as u64, Relaxed);
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        self.sent(&wrote);
        wrote
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        self.sent(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
