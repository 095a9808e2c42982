//! Server-sent events, read as a browser would.

use futures::StreamExt as _;
use serde_json::Value;

use crate::http::Http;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Where to go on: goes into `last-event-id`.
    pub id: String,
    /// `alert` or `error`.
    pub name: String,
    /// The message.
    pub data: Value,
}

/// The next `most` events after `last_event_id`; the connection is then dropped, as one that breaks would be.
pub async fn events(http: &Http, last_event_id: Option<&str>, most: usize) -> Vec<Event> {
    let mut request = http
        .request("GET", "/v1/alerts/watch")
        .header("accept", "text/event-stream");
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut bytes = response.bytes_stream();
    let (mut text, mut events) = (Vec::new(), Vec::new());
    while events.len() < most {
        text.extend_from_slice(&bytes.next().await.unwrap().unwrap());
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = text.drain(..end + 2).collect();
            events.extend(event(std::str::from_utf8(&block).unwrap()));
        }
    }
    events.truncate(most);
    events
}

/// `None` for a comment that only keeps the connection alive.
fn event(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let lines = block
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
    };
    let data = field("data");
    let event = || Event {
        id: field("id"),
        name: field("event"),
        data: serde_json::from_str(&data).unwrap(),
    };
    (!data.is_empty()).then(event)
}
