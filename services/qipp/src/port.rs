//! The port: takes connections within limits, speaks HTTP/1.1 and HTTP/2 on them, and drains.
//!
//! axum's own loop takes no limits. What is bounded here is what happens before there is a call: how many connections there are, in all and
//! from one address, how long one may take to say what it wants, how long it may be silent, how long it may leave its answers in
//! our hands, how large its headers are. Knows nothing of what is served.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use qipp_serving::Metrics;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::config::Limits;

/// How often a silent HTTP/2 connection is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// What waits in memory for each stream that its reader does not take, bytes.
const SEND_BUFFER: usize = 64 << 10;

/// How long the loop rests when the process has no file descriptor left for a connection.
const REST: Duration = Duration::from_millis(200);

/// What a connection that is told to go has to go.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves until the token is cancelled, and then until all open calls are answered. Dropping the future cuts them off.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let peers = Peers::new(&limits, &metrics);
    let shared = Arc::new(Shared {
        app,
        builder: builder(&limits),
        limits,
        metrics,
        shutdown: shutdown.clone(),
    });
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "no connection could be taken; trying again");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        match peers.enter(peer.ip()) {
            Ok(place) => {
                let shared = Arc::clone(&shared);
                open.spawn(async move {
                    shared.connection(stream).await;
                    drop(place);
                });
            }
            // There is no protocol yet in which to say so: clients see a closed connection, and connect again later.
            Err(limit) => shared.metrics.refused(limit),
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
    Ok(())
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.header_seconds))
        .max_buf_size(limits.header_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(limits.header_bytes)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    builder
}

/// What all connections share.
struct Shared {
    app: Router,
    builder: Builder<TokioExecutor>,
    limits: Limits,
    metrics: Metrics,
    shutdown: CancellationToken,
}

impl Shared {
    async fn connection(&self, stream: TcpStream) {
        // Small answers go out at once.
        let _ = stream.set_nodelay(true);
        let activity = Arc::new(Activity::new());
        let service = {
            let activity = Arc::clone(&activity);
            service_fn(move |request: Request<Incoming>| {
                let open = Open::new(Arc::clone(&activity));
                let answer = self.app.clone().oneshot(request.map(Body::new));
                async move {
                    let response = answer.await?;
                    let response = response.map(|body| Watched { body, _open: open });
                    Ok::<Response<Watched>, Infallible>(response)
                }
            })
        };
        let stall = Duration::from_secs(self.limits.stall_seconds);
        let io = TokioIo::new(Unstalled::new(stream, stall));
        let mut connection = pin!(self.builder.serve_connection(io, service));
        let mut closing = false;
        let mut look = Instant::now() + Duration::from_secs(self.limits.header_seconds);
        loop {
            tokio::select! {
                // What has come is read before anybody is called silent: it may be we who are late.
                biased;
                _ = connection.as_mut() => return,
                () = self.shutdown.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = tokio::time::sleep_until(look) => {
                    let (limit, name) = match activity.had_a_call() {
                        true => (self.limits.idle_seconds, "idle_seconds"),
                        false => (self.limits.header_seconds, "header_seconds"),
                    };
                    let limit = Duration::from_secs(limit);
                    look = match activity.idle_since() {
                        None => Instant::now() + limit,
                        Some(since) if since + limit > Instant::now() => since + limit,
                        Some(_) if closing => return,
                        Some(_) => {
                            self.metrics.refused(name);
                            closing = true;
                            connection.as_mut().graceful_shutdown();
                            Instant::now() + FAREWELL
                        }
                    };
                }
            }
        }
    }
}

/// How many calls a connection has open, and since when it has none.
struct Activity {
    began: Instant,
    open: AtomicUsize,
    calls: AtomicU64,
    /// Milliseconds since it began.
    last: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            open: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }

    fn had_a_call(&self) -> bool {
        self.calls.load(Relaxed) > 0
    }

    fn idle_since(&self) -> Option<Instant> {
        let last = Duration::from_millis(self.last.load(Relaxed));
        (self.open.load(Relaxed) == 0).then(|| self.began + last)
    }
}

/// An open call, until its answer has gone out.
struct Open(Arc<Activity>);

impl Open {
    fn new(activity: Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Relaxed);
        activity.calls.fetch_add(1, Relaxed);
        Self(activity)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let last = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(last, Relaxed);
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer, which holds its call open.
struct Watched {
    body: Body,
    _open: Open,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose writes fail when the other side has taken nothing for too long.
struct Unstalled {
    stream: TcpStream,
    patience: Duration,
    /// Set while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Unstalled {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            waiting: None,
        }
    }

    fn watched(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match waiting.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncRead for Unstalled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Unstalled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// How many connections there are, and from where.
#[derive(Clone)]
struct Peers {
    all: usize,
    each: usize,
    /// Asked for once a connection, not once a call.
    open: Arc<Mutex<(usize, HashMap<IpAddr, usize>)>>,
    gauge: prometheus::IntGauge,
    counter: prometheus::IntCounter,
}

impl Peers {
    fn new(limits: &Limits, metrics: &Metrics) -> Self {
        Self {
            all: limits.connections,
            each: limits.connections_per_peer,
            open: Arc::default(),
            gauge: metrics.gauge("qipp_connections", "Open connections."),
            counter: metrics.counter("qipp_connections_total", "Connections that were taken."),
        }
    }

    /// A place for a connection from an address, or the limit that is reached.
    fn enter(&self, peer: IpAddr) -> Result<PeerPlace, &'static str> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.0 >= self.all {
            return Err("connections");
        }
        let held = open.1.entry(peer).or_default();
        if *held >= self.each {
            return Err("connections_per_peer");
        }
        *held += 1;
        open.0 += 1;
        self.gauge.inc();
        self.counter.inc();
        Ok(PeerPlace {
            peers: self.clone(),
            peer,
        })
    }
}

struct PeerPlace {
    peers: Peers,
    peer: IpAddr,
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        self.peers.gauge.dec();
        let mut open = self
            .peers
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.0 -= 1;
        if let Some(held) = open.1.get_mut(&self.peer) {
            *held -= 1;
            if *held == 0 {
                open.1.remove(&self.peer);
            }
        }
    }
}
