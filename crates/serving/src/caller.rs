//! Who calls, under which request id, and until when.

use std::sync::Arc;
use std::time::Duration;

use qipp_access::{Denied, Principal, Target};
use qipp_api::error::{ApiError, Code};
use qipp_domain::OrgCode;
use qipp_domain::reference::Reference;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::Span;

/// How long a call may take when it does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The call as the services see it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// On whose behalf.
    pub principal: Arc<Principal>,
    /// For the logs and for the answer's errors.
    pub request_id: String,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// Full name of the rpc, for example `qipp.intake.v1.IntakeService/SubmitReturn`.
    pub method: String,
    /// The call as its trace shows it. What is answered after the rpc's own function has returned, such as the items of a stream, is a
    /// step of it.
    pub trace: Span,
    /// Bounds the items that the bulk streams of the principal have under way.
    pub(crate) items: Arc<Semaphore>,
}

impl Caller {
    /// The caller of a request that came through [`Gate`](crate::Gate).
    ///
    /// # Errors
    /// UNAUTHENTICATED when it did not.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, tonic::Status> {
        let missing = || {
            ApiError::new(
                Code::Unauthenticated,
                "NO_CREDENTIALS",
                "the call did not say who makes it",
            )
        };
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or_else(|| missing().into_status(""))
    }

    /// Checks the policy.
    ///
    /// # Errors
    /// PERMISSION_DENIED with what is missing and whom to ask.
    pub fn may(&self, target: Target, reference: &Reference) -> Result<(), ApiError> {
        qipp_access::check(&self.principal, &self.method, target, reference).map_err(denied)
    }

    /// May the principal see what belongs to the organisation? For cutting down lists.
    #[must_use]
    pub fn sees(&self, org: OrgCode, reference: &Reference) -> bool {
        qipp_access::visible(&self.principal, org, reference)
    }

    /// A place for an item of a bulk stream, as soon as one of the principal's is free. Drop it when the item is answered.
    pub async fn item(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.items).acquire_owned().await.ok()
    }

    /// An error as the status that goes back, with the request id.
    #[must_use]
    pub fn status(&self, error: ApiError) -> tonic::Status {
        if error.code == Code::Internal {
            tracing::error!(request_id = %self.request_id, method = %self.method, error = %error.message, "call failed");
        }
        error.into_status(&self.request_id)
    }

    /// Waits for something until the deadline.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED with `reason` and `what` was waited for.
    pub async fn within<F: Future>(
        &self,
        reason: &'static str,
        what: &str,
        future: F,
    ) -> Result<F::Output, ApiError> {
        tokio::time::timeout_at(self.deadline, future)
            .await
            .map_err(|_| {
                ApiError::new(
                    Code::DeadlineExceeded,
                    reason,
                    format!("{what} did not come before the call's deadline"),
                )
            })
    }
}

/// A refusal as an error.
#[must_use]
pub fn denied(denied: Denied) -> ApiError {
    ApiError::new(Code::PermissionDenied, denied.reason.code(), denied.message)
}
