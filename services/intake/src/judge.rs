//! Judging by reference data that may be a moment old.
//!
//! Where several processes share a log, an organisation or a marker that was recorded through another one may not be folded here yet. Nobody
//! is refused for that: a submission with such a fault is judged a second time, when this process has caught up.

use qipp_api::error::ApiError;
use qipp_serving::Caller;

use crate::Intake;

/// Faults that later reference data, or a scheme that was registered elsewhere, can mend.
const MENDED_BY_MORE: [&str; 8] = [
    "UNKNOWN_ORGANISATION",
    "ORGANISATION_CLOSED",
    "ORGANISATION_NOT_OPEN",
    "UNKNOWN_MARKER",
    "UNKNOWN_DEFINITION_VERSION",
    "MARKER_NOT_IN_USE",
    "NO_LINKED_MARKER",
    "UNKNOWN_SCHEME",
];

/// A caller's part of a tree is reference data too.
const OUT_OF_SCOPE: &str = "OUT_OF_SCOPE";

impl Intake {
    /// What a submission is judged to be; once more after catching up, when it is refused for what another process may have recorded.
    ///
    /// # Errors
    /// As the judgement, and as [`qipp_serving::Deps::catch_up`].
    pub(crate) async fn judged<T>(
        &self,
        caller: &Caller,
        judge: impl Fn() -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        match judge() {
            Err(error) if self.deps.log.is_shared() && may_be_late(&error) => {
                self.deps.catch_up(caller).await?;
                judge()
            }
            judged => judged,
        }
    }
}

fn may_be_late(error: &ApiError) -> bool {
    let mut codes = error.problems.iter().map(|problem| &*problem.code);
    error.reason == OUT_OF_SCOPE || codes.any(|code| MENDED_BY_MORE.contains(&code))
}
