//! The gRPC service that answers, whatever its type, and a codec that passes messages through as bytes.
//!
//! Never looks into a message: the handlers have made or will read the bytes.

use std::fmt;
use std::time::Duration;

use axum::body::HttpBody;
use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt as _};

/// The service with its type forgotten, so that handlers are not generic. Its error is a status: a future that holds a boxed error with a
/// lifetime of its own across an await is not `Send` enough for a handler.
pub(crate) type GrpcService = BoxCloneSyncService<
    http::Request<tonic::body::Body>,
    http::Response<tonic::body::Body>,
    Status,
>;

/// A service that keeps the deadline itself can say more about it (how far the fold has come): it gets this much longer.
const GRACE: Duration = Duration::from_millis(250);

/// Where calls go.
#[derive(Clone)]
pub(crate) struct Backend {
    service: GrpcService,
    max_answer_bytes: usize,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}

impl Backend {
    pub(crate) fn new<G, B>(grpc: G, max_answer_bytes: usize) -> Self
    where
        G: Service<http::Request<tonic::body::Body>, Response = http::Response<B>>
            + Clone
            + Send
            + Sync
            + 'static,
        G::Error: Into<BoxError> + 'static,
        G::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let erased = grpc
            .map_err(|error| unavailable(error.into()))
            .map_response(|response| response.map(tonic::body::Body::new));
        Self {
            service: BoxCloneSyncService::new(erased),
            max_answer_bytes,
        }
    }

    /// The service itself, for generated clients.
    pub(crate) fn service(&self) -> GrpcService {
        self.service.clone()
    }

    /// Largest answer, bytes.
    pub(crate) fn max_answer_bytes(&self) -> usize {
        self.max_answer_bytes
    }

    /// One request, one answer, within the time.
    pub(crate) async fn unary(
        &self,
        path: PathAndQuery,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, Status> {
        let mut grpc = Grpc::new(self.service()).max_decoding_message_size(self.max_answer_bytes);
        let call = async move {
            grpc.ready().await?;
            grpc.unary(request, path, BytesCodec)
                .await
                .map(tonic::Response::into_inner)
        };
        within(timeout, call).await
    }
}

/// Waits for a call no longer than its caller does. In one process nothing else enforces the deadline: tonic does so in its transport.
pub(crate) async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let late = |_| {
        Status::deadline_exceeded(format!(
            "no answer within {timeout:?}: send a longer timeout, or try again"
        ))
    };
    tokio::time::timeout(timeout.saturating_add(GRACE), call)
        .await
        .unwrap_or_else(|elapsed| Err(late(elapsed)))
}

#[allow(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn unavailable(error: BoxError) -> Status {
    Status::unavailable(format!("the service cannot be reached: {error}"))
}

/// Messages as they are.
#[derive(Clone, Copy, Debug)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
