//! Nothing is answered from half a fold. After a start the log is folded from the last checkpoint on; until that has caught up, the nation
//! in memory is one that never was: a return would be refused because its organisation is not folded yet, and a question would be answered
//! with what was true last week. So calls wait here for a moment, and are then told to come back.
//!
//! Calls that are passed on to other processes are theirs to hold. Health and reflection answer at once; so does `GetStatus`, which says how far the fold has come, and `ExportLog`, which needs no fold.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use qipp_access::method;
use qipp_api::error::ApiError;
use qipp_serving::Caller;
use tokio::sync::watch;

/// How long a call is held: most starts take less, and a caller that is held for long can't tell a slow house from a dead one.
const HELD: Duration = Duration::from_secs(2);
/// When to come back.
const RETRY: Duration = Duration::from_secs(1);

/// Lets a call through once the fold has caught up with what the log held at the start.
pub(crate) async fn hold(
    State(caught_up): State<watch::Receiver<bool>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let at_once = [method::GET_STATUS, method::EXPORT_LOG];
    let asks_for_state =
        path.starts_with("/qipp.") && !at_once.iter().any(|method| path.ends_with(method));
    if asks_for_state && !*caught_up.borrow() && !within(caught_up, HELD).await {
        let what =
            "the service has just started and is still folding its log: call again in a moment";
        let error = ApiError::unavailable("CATCHING_UP", what, RETRY);
        let caller = request.extensions().get::<Caller>();
        let id = caller.map_or("", |caller| caller.request_id.as_str());
        return error.into_status(id).into_http();
    }
    next.run(request).await
}

async fn within(mut caught_up: watch::Receiver<bool>, time: Duration) -> bool {
    let caught = caught_up.wait_for(|caught_up| *caught_up);
    matches!(tokio::time::timeout(time, caught).await, Ok(Ok(_)))
}
