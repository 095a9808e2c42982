//! A thread for the rules, which takes what time others leave.
//!
//! Evaluating is the one thing here that can keep a core busy for long, and nobody waits for it as a sender waits for his answer. So it has
//! the low priority that the system gives to such work: on an idle machine it runs at once, on a full one returns and queries go first.
//! What runs here must hold no lock that they need.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use qipp_api::error::{ApiError, Code};
use qipp_serving::step;
use tokio::sync::oneshot;
use tracing::Instrument as _;

/// How much nicer than the rest of the process, in the system's own measure (`nice`): beside one busy thread of ordinary priority, on the same
/// core, it gets a tenth of the time.
const NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// The thread. Ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Background(mpsc::Sender<Job>);

impl Background {
    pub(crate) fn start() -> Self {
        let (sender, jobs) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new().name("qipp-rules".to_owned());
        let started = thread.spawn(move || {
            // On Linux this is a property of the thread that asks.
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::warn!(%error, "the rules run at the priority of everything else");
            }
            for job in jobs {
                // Whoever waits for it is told, because its answer is dropped.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "there is no thread for the rules");
        }
        Self(sender)
    }

    /// Runs it after what was handed in before.
    ///
    /// # Errors
    /// INTERNAL, `EVALUATION_FAILED`: it panicked, or there is no thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let failed = |what: &str| ApiError::new(Code::Internal, "EVALUATION_FAILED", what);
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            let _ = answer.send(work());
        });
        let sent = self.0.send(job);
        sent.map_err(|_| failed("there is no thread for the rules: start the service again"))?;
        answered
            .instrument(step!("compute"))
            .await
            .map_err(|_| failed("a rule panicked: its message stands above in the log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_panics_is_an_error_and_the_next_piece_of_work_runs() {
        let background = Background::start();
        let failed = background.run(|| panic!("on purpose")).await;
        assert_eq!(failed.unwrap_err().reason, "EVALUATION_FAILED");
        assert_eq!(background.run(|| 1 + 1).await.unwrap(), 2);
    }
}
