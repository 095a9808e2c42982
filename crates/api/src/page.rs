//! Pages of lists: how long one is, and the token that leads to the next.
//!
//! A token holds a cursor, the cut of the first page, a fingerprint of the query and a checksum. So later pages are answered from the
//! same state as the first, and a token of another query is refused. It is no secret and grants nothing: whoever may not see a list may
//! not see its pages either. It never panics, whatever text comes back.

use prost::Message;
use prost::encoding::{decode_varint, encode_varint};
use qipp_domain::{Cut, KnownAt};
use sha2::{Digest, Sha256};

use crate::error::ApiError;
use crate::proto::{alerts, projections, registry};

/// Length of a page when nothing is asked for.
pub const DEFAULT_PAGE_SIZE: usize = 100;
/// Longest page.
pub const MAX_PAGE_SIZE: usize = 1000;

/// Form of the token. Another form is refused, and the caller begins anew.
const VERSION: u8 = 1;
const FINGERPRINT_BYTES: usize = 8;
/// Longer than any token that is given out; refused before it is looked at.
const MAX_TOKEN: usize = 16_384;

/// A request for a page of a list.
pub trait Paged: Message + Clone {
    /// Name of the request, part of the fingerprint.
    const NAME: &'static str;
    /// Entries that the caller wants; 0: as many as is usual.
    fn page_size(&self) -> i32;
    /// Token of the page before; empty: the first page.
    fn page_token(&self) -> &str;
    /// The query without size and token: what has to stay the same from page to page.
    #[must_use]
    fn query(&self) -> Self;
}

macro_rules! paged {
    ($($message:ty),+ $(,)?) => {$(
        impl Paged for $message {
            const NAME: &'static str = stringify!($message);
            fn page_size(&self) -> i32 {
                self.page_size
            }
            fn page_token(&self) -> &str {
                &self.page_token
            }
            fn query(&self) -> Self {
                Self { page_size: 0, page_token: String::new(), ..self.clone() }
            }
        }
    )+};
}

paged!(
    alerts::v1::ListAlertsRequest,
    projections::v1::ListRollUpsRequest,
    projections::v1::ListSchemesRequest,
    registry::v1::ListMarkersRequest,
    registry::v1::ListOrganisationsRequest,
    registry::v1::ListTreeNodesRequest,
);

/// Where a page begins and how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Most entries.
    pub size: usize,
    /// Where to go on; `None` on the first page.
    pub after: Option<Place>,
}

/// Where the page before ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the service wrote into the token.
    pub cursor: String,
    /// The cut that the first page was answered at.
    pub cut: Cut,
}

impl Page {
    /// Where to go on; `None` on the first page.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.after.as_ref().map(|place| place.cursor.as_str())
    }

    /// The moment of knowledge to answer from: what was asked for, and where that is "the latest", what was the latest on the first page.
    #[must_use]
    pub fn known_at(&self, asked: KnownAt) -> KnownAt {
        match (&self.after, asked) {
            (Some(place), KnownAt::Latest) => KnownAt::Cut(place.cut.clone()),
            (_, asked) => asked,
        }
    }
}

/// Reads size and token of a request.
///
/// # Errors
/// `INVALID_ARGUMENT` with reason `PAGE_SIZE_NEGATIVE` or `PAGE_TOKEN_INVALID`.
pub fn page<R: Paged>(request: &R) -> Result<Page, ApiError> {
    let size = page_size(request.page_size())?;
    let token = request.page_token();
    if token.is_empty() {
        return Ok(Page { size, after: None });
    }
    let place = parse(token, fingerprint(request)).ok_or_else(wrong_token)?;
    Ok(Page {
        size,
        after: Some(place),
    })
}

/// `INVALID_ARGUMENT` with reason `PAGE_TOKEN_INVALID`.
#[must_use]
pub fn wrong_token() -> ApiError {
    let what = "this token was not given out for this query: send the query as it was, or begin again without a token";
    ApiError::invalid_field("PAGE_TOKEN_INVALID", "page_token", what)
}

/// The length of a page: 0 is the usual one, and more than the most is cut to the most.
///
/// # Errors
/// `INVALID_ARGUMENT` with reason `PAGE_SIZE_NEGATIVE`.
pub fn page_size(asked: i32) -> Result<usize, ApiError> {
    match usize::try_from(asked) {
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) => Ok(size.min(MAX_PAGE_SIZE)),
        Err(_) => {
            let what = format!(
                "{asked} is negative: give 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}"
            );
            Err(ApiError::invalid_field(
                "PAGE_SIZE_NEGATIVE",
                "page_size",
                what,
            ))
        }
    }
}

/// The token of the page that follows: `cursor` is what the service wants to find again, `cut` that of the first page.
#[must_use]
pub fn next_token<R: Paged>(request: &R, cursor: &str, cut: &Cut) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(fingerprint(request));
    encode_varint(cursor.len() as u64, &mut bytes);
    bytes.extend(cursor.as_bytes());
    for (lane, next) in cut.iter() {
        encode_varint(u64::from(lane), &mut bytes);
        encode_varint(next, &mut bytes);
    }
    bytes.extend(short_digest(&[&bytes]));
    hex(&bytes)
}

fn parse(token: &str, expected: [u8; FINGERPRINT_BYTES]) -> Option<Place> {
    let bytes = unhex(token)?;
    let (content, checksum) =
        bytes.split_at_checked(bytes.len().checked_sub(FINGERPRINT_BYTES)?)?;
    if short_digest(&[content]) != checksum {
        return None;
    }
    let (&version, rest) = content.split_first()?;
    let (fingerprint, mut rest) = rest.split_at_checked(FINGERPRINT_BYTES)?;
    if version != VERSION || fingerprint != expected {
        return None;
    }
    let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
    let (cursor, mut rest) = rest.split_at_checked(length)?;
    let cursor = std::str::from_utf8(cursor).ok()?.to_owned();
    let mut cut = Cut::default();
    while !rest.is_empty() {
        let lane = u32::try_from(decode_varint(&mut rest).ok()?).ok()?;
        cut.set(lane, decode_varint(&mut rest).ok()?);
    }
    Some(Place { cursor, cut })
}

fn fingerprint<R: Paged>(request: &R) -> [u8; FINGERPRINT_BYTES] {
    short_digest(&[R::NAME.as_bytes(), &request.query().encode_to_vec()])
}

/// First bytes of a SHA-256: enough against mistakes, and nobody gains by forging one.
fn short_digest(parts: &[&[u8]]) -> [u8; FINGERPRINT_BYTES] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut short = [0; FINGERPRINT_BYTES];
    short.copy_from_slice(&digest[..FINGERPRINT_BYTES]);
    short
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            text
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    if text.len() > MAX_TOKEN || !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use registry::v1::{ListMarkersRequest, ListOrganisationsRequest};

    fn query(kind: &str) -> ListOrganisationsRequest {
        ListOrganisationsRequest {
            kind: kind.into(),
            ..Default::default()
        }
    }

    fn cut() -> Cut {
        [(0x0001_0000, 42), (0x0002_0007, 1 << 40)]
            .into_iter()
            .collect()
    }

    #[test]
    fn the_usual_page_is_a_hundred_and_the_longest_a_thousand() {
        assert_eq!(
            [0, 1, 1000, i32::MAX].map(|asked| page_size(asked).unwrap()),
            [100, 1, 1000, 1000]
        );
        assert_eq!(page_size(-1).unwrap_err().reason, "PAGE_SIZE_NEGATIVE");
    }

    #[test]
    fn a_token_leads_on_at_the_cut_of_the_first_page_whatever_the_size() {
        let page_token = next_token(&query("trust"), "RJ1", &cut());
        let page = page(&ListOrganisationsRequest {
            page_token,
            page_size: 7,
            ..query("trust")
        })
        .unwrap();
        assert_eq!((page.size, page.cursor()), (7, Some("RJ1")));
        assert_eq!(page.known_at(KnownAt::Latest), KnownAt::Cut(cut()));
        assert_eq!(page.known_at(KnownAt::Time(5)), KnownAt::Time(5));
    }

    #[test]
    fn a_token_of_another_query_or_another_list_is_refused() {
        let page_token = next_token(&query("trust"), "RJ1", &cut());
        let other = ListOrganisationsRequest {
            page_token: page_token.clone(),
            ..query("pct")
        };
        assert_eq!(page(&other).unwrap_err().reason, "PAGE_TOKEN_INVALID");
        let other = ListMarkersRequest {
            page_token,
            ..Default::default()
        };
        assert_eq!(page(&other).unwrap_err().reason, "PAGE_TOKEN_INVALID");
    }

    proptest! {
        #[test]
        fn a_token_that_was_changed_is_refused(at in any::<prop::sample::Index>(), digit in "[0-9a-f]") {
            let token = next_token(&query(""), "cursor", &cut());
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &digit);
            let page = page(&ListOrganisationsRequest { page_token: changed.clone(), ..query("") });
            prop_assert_eq!(page.is_ok(), changed == token);
        }

        #[test]
        fn no_text_is_a_token_by_chance(page_token in ".{1,200}|([0-9a-f]{2}){1,100}") {
            let request = ListOrganisationsRequest { page_token, ..query("") };
            prop_assert!(page(&request).is_err());
        }

        #[test]
        fn every_cursor_comes_back(cursor in ".{0,40}") {
            let page_token = next_token(&query(""), &cursor, &cut());
            let page = page(&ListOrganisationsRequest { page_token, ..query("") }).unwrap();
            prop_assert_eq!(page.after, Some(Place { cursor, cut: cut() }));
        }
    }
}
