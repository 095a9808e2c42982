//! What travels with a call besides its message: who asks, its request id, and how long it may take.
//!
//! Never reads the credentials.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use qipp_domain::validate::code_holds_nhs_number;
use tonic::metadata::{Ascii, MetadataValue};

use crate::GatewayConfig;
use crate::answer::Failure;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_TIMEOUT: &str = "x-timeout";
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Passed on as they are.
const FORWARDED: [&str; 3] = ["authorization", "x-request-id", "traceparent"];
const MAX_REQUEST_ID: usize = 64;

/// Gives every request an id, and every answer the id of its request.
pub(crate) async fn name_request(mut request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(&REQUEST_ID)
        .filter(|id| is_fit(id))
        .cloned();
    let id = given.unwrap_or_else(next_id);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// An id goes into logs and into the log: short, visible, one line. Nor may it hold what could be the NHS number of a patient: such a
/// call gets an id of ours, and the one that was given is written down nowhere.
fn is_fit(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    let visible = bytes.iter().all(u8::is_ascii_graphic);
    !bytes.is_empty()
        && bytes.len() <= MAX_REQUEST_ID
        && visible
        && id.to_str().is_ok_and(|id| !code_holds_nhs_number(id))
}

/// Start of the process and a number: unique enough to find a request in the logs of one gateway.
fn next_id() -> HeaderValue {
    static START: LazyLock<u128> = LazyLock::new(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis())
    });
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = format!("gw-{:x}-{:x}", *START, NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&id).expect("hexadecimal digits and dashes are a header value")
}

/// The id that [`name_request`] gave.
pub(crate) fn request_id(headers: &HeaderMap) -> &str {
    headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
}

/// A gRPC request with the metadata of the HTTP request.
pub(crate) fn grpc_request<T>(headers: &HeaderMap, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    for name in FORWARDED {
        let value = headers
            .get(name)
            .and_then(|value| MetadataValue::<Ascii>::try_from(value.as_bytes()).ok());
        if let Some(value) = value {
            request.metadata_mut().insert(name, value);
        }
    }
    request
}

/// How long the caller waits, within the limits.
pub(crate) fn timeout(
    headers: &HeaderMap,
    config: &GatewayConfig,
    default: Duration,
) -> Result<Duration, Failure> {
    let asked = match (text(headers, GRPC_TIMEOUT), text(headers, X_TIMEOUT)) {
        (Some(text), _) => parse_grpc(text).ok_or_else(|| {
            bad_timeout(GRPC_TIMEOUT, "digits and one of H M S m u n, such as 5S")
        })?,
        (None, Some(text)) => parse_plain(text)
            .ok_or_else(|| bad_timeout(X_TIMEOUT, "digits and ms, s or m, such as 5s"))?,
        (None, None) => default,
    };
    Ok(asked.min(config.max_timeout))
}

/// A header that is not text is there all the same, and faulty.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or_default())
}

fn bad_timeout(header: &str, form: &str) -> Failure {
    Failure::invalid(
        "BAD_TIMEOUT",
        format!("the header {header} has to be {form}"),
    )
}

fn parse_grpc(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount = number(digits)?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

fn parse_plain(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let amount = number(digits)?;
    match unit {
        "ms" => Some(Duration::from_millis(amount)),
        "s" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_secs(amount * 60)),
        _ => None,
    }
}

/// At most 8 digits, as gRPC has it: no product above overflows.
fn number(digits: &str) -> Option<u64> {
    let fits = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_in_both_forms_and_cut_to_the_limit() {
        let config = GatewayConfig::new(tokio_util::sync::CancellationToken::new());
        let read = |pairs: &[(&'static str, &'static str)]| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| {
                    (
                        HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect();
            timeout(&headers, &config, Duration::from_secs(30))
                .map_err(|failure| failure.error.reason.into_owned())
        };
        assert_eq!(read(&[]), Ok(Duration::from_secs(30)));
        assert_eq!(read(&[("x-timeout", "5s")]), Ok(Duration::from_secs(5)));
        assert_eq!(
            read(&[("x-timeout", "1500ms")]),
            Ok(Duration::from_millis(1500))
        );
        assert_eq!(
            read(&[("x-timeout", "5s"), ("grpc-timeout", "200m")]),
            Ok(Duration::from_millis(200))
        );
        assert_eq!(
            read(&[("grpc-timeout", "99999999H")]),
            Ok(Duration::from_secs(300))
        );
        for bad in ["", "5", "s", "5x", "-5s", "999999999s", "5é"] {
            assert!(
                parse_plain(bad).is_none() && parse_grpc(bad).is_none(),
                "{bad}"
            );
        }
        assert_eq!(
            read(&[("x-timeout", "soon")]),
            Err("BAD_TIMEOUT".to_owned())
        );
    }
}
