//! The bodies of calls that are passed on: what is sent can be taken back while nothing of it was read, and what comes back ends in order when this
//! process closes.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Frame;
use qipp_api::error::{ApiError, Code};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::peers::Shape;
use crate::peers::connections::Place;

/// When a caller should come again whose peer was lost.
const RETRY: Duration = Duration::from_secs(1);

/// The peer went away.
pub(super) fn lost() -> ApiError {
    let what = "the process that answered went away: send it again, or go on after the last answer; a repeat is harmless";
    ApiError::unavailable("PEER_LOST", what, RETRY)
}

fn closing() -> ApiError {
    let what = "the service is closing: connect again and go on after the last answer";
    ApiError::unavailable("SHUTTING_DOWN", what, RETRY)
}

/// What is sent to a peer, and to the next one if need be.
pub(super) enum Sent {
    /// All of it.
    Held(Bytes),
    /// A stream, which can go elsewhere as long as nothing of it was taken.
    Lent(Arc<Mutex<Lent>>),
}

impl Sent {
    /// Reads all of it.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when it is larger than that.
    pub(super) async fn held(body: Body, max_bytes: usize) -> Result<Self, ApiError> {
        let bytes = axum::body::to_bytes(body, max_bytes).await;
        bytes.map(Self::Held).map_err(|error| {
            let what = format!("the message could not be read whole, or is larger than {max_bytes} bytes ({error}): send it in parts");
            ApiError::exhausted("MESSAGE_TOO_LARGE", what)
        })
    }

    /// Lends a stream. It ends when the token is cancelled, after a whole message, so that what was read is answered.
    pub(super) fn lent(body: Body, shutdown: &CancellationToken) -> Self {
        Self::Lent(Arc::new(Mutex::new(Lent {
            body,
            framing: Framing::default(),
            closing: Closing::new(shutdown),
            is_taken: false,
        })))
    }

    /// For one attempt.
    pub(super) fn body(&self) -> tonic::body::Body {
        match self {
            Self::Held(bytes) => tonic::body::Body::new(Body::from(bytes.clone())),
            Self::Lent(lent) => tonic::body::Body::new(Borrowed(Arc::clone(lent))),
        }
    }

    pub(super) fn can_be_sent_again(&self) -> bool {
        match self {
            Self::Held(_) => true,
            Self::Lent(lent) => !lock(lent).is_taken,
        }
    }
}

/// A stream that has one owner and one reader at a time.
pub(super) struct Lent {
    body: Body,
    framing: Framing,
    closing: Closing,
    is_taken: bool,
}

struct Borrowed(Arc<Mutex<Lent>>);

/// Nothing is changed half-way while it is held.
fn lock(lent: &Mutex<Lent>) -> MutexGuard<'_, Lent> {
    lent.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpBody for Borrowed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let lent = &mut *lock(&self.0);
        let is_closing = lent.closing.poll(cx);
        if is_closing && lent.framing.is_between() {
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(Pin::new(&mut lent.body).poll_frame(cx));
        lent.is_taken = true;
        Poll::Ready(frame.map(|frame| frame.map(|frame| lent.framing.note(frame, is_closing))))
    }
}

/// What a peer answers, with an end in our words when the peer is lost or this process closes.
pub(super) struct Answer {
    body: tonic::body::Body,
    /// On the connection that it comes over.
    _place: Place,
    shape: Shape,
    framing: Framing,
    closing: Closing,
    has_ended: bool,
    request_id: String,
}

impl Answer {
    pub(super) fn new(
        body: tonic::body::Body,
        place: Place,
        shape: Shape,
        shutdown: &CancellationToken,
        request_id: String,
    ) -> Self {
        Self {
            body,
            _place: place,
            shape,
            framing: Framing::default(),
            closing: Closing::new(shutdown),
            has_ended: false,
            request_id,
        }
    }

    fn end(&mut self, error: ApiError) -> Frame<Bytes> {
        self.has_ended = true;
        let mut trailers = HeaderMap::new();
        let status = error.into_status(&self.request_id);
        // It is of our own making, and fits.
        status.add_header(&mut trailers).unwrap_or_default();
        Frame::trailers(trailers)
    }

    /// A bulk stream that was cut short here has an end that could be taken for complete.
    fn checked(&mut self, frame: Frame<Bytes>, is_closing: bool) -> Frame<Bytes> {
        let is_good = |trailers: &HeaderMap| {
            trailers
                .get("grpc-status")
                .is_some_and(|status| status == "0")
        };
        match frame.trailers_ref() {
            Some(trailers) if is_closing && self.shape == Shape::Bulk && is_good(trailers) => {
                self.end(closing())
            }
            Some(_) => frame,
            // A watch ends after a whole event; a bulk stream when all that was read is answered.
            None => self
                .framing
                .note(frame, is_closing && self.shape == Shape::Watch),
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.has_ended {
            return Poll::Ready(None);
        }
        let is_closing = this.shape != Shape::Unary && this.closing.poll(cx);
        if is_closing && this.shape == Shape::Watch && this.framing.is_between() {
            return Poll::Ready(Some(Ok(this.end(closing()))));
        }
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            Ok(match frame {
                Ok(frame) => this.checked(frame, is_closing),
                Err(error) => {
                    tracing::debug!(error = %error, "an answer was cut short");
                    let error = ApiError::from_status(&error);
                    let is_ours = error.code == Code::DeadlineExceeded;
                    this.end(if is_ours { error } else { lost() })
                }
            })
        }))
    }

    /// An answer that is all headers has to stay so: clients look for the code of an error where it then stands.
    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }
}

/// Has this process been told to end? Wakes the reader when it is.
struct Closing {
    told: Pin<Box<WaitForCancellationFutureOwned>>,
    is_told: bool,
}

impl Closing {
    fn new(shutdown: &CancellationToken) -> Self {
        Self {
            told: Box::pin(shutdown.clone().cancelled_owned()),
            is_told: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_told = self.is_told || self.told.as_mut().poll(cx).is_ready();
        self.is_told
    }
}

/// Where messages of gRPC end in a stream of bytes: five bytes before each, the last four of which say how long it is.
#[derive(Debug, Default)]
struct Framing {
    prefix: usize,
    length: usize,
    left: usize,
}

impl Framing {
    const PREFIX: usize = 5;

    /// No message is under way.
    fn is_between(&self) -> bool {
        self.prefix == 0
    }

    /// Takes note of a frame. When it is the last one, it is cut where the message ends that is under way.
    fn note(&mut self, frame: Frame<Bytes>, is_last: bool) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(data) => match self.pass(&data) {
                Some(end) if is_last => {
                    *self = Self::default();
                    Frame::data(data.slice(..end))
                }
                _ => Frame::data(data),
            },
            Err(frame) => frame,
        }
    }

    /// Where the first message ends in these bytes, if one does.
    fn pass(&mut self, data: &[u8]) -> Option<usize> {
        let mut end = None;
        let mut at = 0;
        while at < data.len() {
            if self.prefix < Self::PREFIX {
                if self.prefix > 0 {
                    self.length = self.length << 8 | usize::from(data[at]);
                } else {
                    self.length = 0;
                }
                self.prefix += 1;
                self.left = self.length;
                at += 1;
            } else {
                let taken = self.left.min(data.len() - at);
                self.left -= taken;
                at += taken;
            }
            if self.prefix == Self::PREFIX && self.left == 0 {
                self.prefix = 0;
                end = end.or(Some(at));
            }
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, length];
        bytes.extend(std::iter::repeat_n(7, usize::from(length)));
        bytes
    }

    #[test]
    fn messages_end_where_their_lengths_say_however_the_bytes_come() {
        let bytes = [message(3), message(0), message(200)].concat();
        for size in 1..bytes.len() {
            let mut framing = Framing::default();
            let mut between = Vec::new();
            let mut passed = 0;
            for part in bytes.chunks(size) {
                let end = framing.pass(part);
                passed += part.len();
                assert_eq!(
                    end.is_some(),
                    [8, 13, 218]
                        .iter()
                        .any(|end| (passed - part.len() + 1..=passed).contains(end))
                );
                if framing.is_between() {
                    between.push(passed);
                }
            }
            assert_eq!(between.last(), Some(&bytes.len()), "in parts of {size}");
            assert!(
                between.iter().all(|end| [8, 13, 218].contains(end)),
                "{between:?}"
            );
        }
    }

    #[test]
    fn the_last_frame_is_cut_where_the_message_ends() {
        let mut framing = Framing::default();
        let bytes = Bytes::from([message(3), message(9)].concat());
        assert!(framing.note(Frame::data(bytes.slice(..2)), false).is_data());
        assert!(!framing.is_between());
        let last = framing.note(Frame::data(bytes.slice(2..)), true);
        assert_eq!(last.into_data().unwrap(), bytes.slice(2..8));
        assert!(framing.is_between());
    }
}
