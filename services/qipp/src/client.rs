//! The client half: a connection with a key, and bulk submission that goes on after a broken one.

use std::time::Duration;

use futures::StreamExt;
use qipp_api::error::ApiError;
use qipp_api::proto::alerts::v1::alerts_service_client::AlertsServiceClient;
use qipp_api::proto::events::v1::{Cut, Return};
use qipp_api::proto::intake::v1::intake_service_client::IntakeServiceClient;
use qipp_api::proto::intake::v1::submit_returns_response::Result as Answer;
use qipp_api::proto::intake::v1::{SubmitReturnsRequest, SubmitReturnsResponse};
use qipp_api::proto::log::v1::log_service_client::LogServiceClient;
use qipp_api::proto::projections::v1::projections_service_client::ProjectionsServiceClient;
use qipp_api::proto::registry::v1::registry_service_client::RegistryServiceClient;
use qipp_api::proto::replica::v1::replica_service_client::ReplicaServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::exit::{DENIED, Failure, UNAVAILABLE, USAGE, refusal};

/// Largest answer that is taken, bytes: a page of a thousand roll-ups with their sources is below it.
const MAX_ANSWER: usize = 64 << 20;

/// How often a broken bulk stream is taken up again without a single answer in between.
const MAX_FRUITLESS: u32 = 5;

/// The longest pause between two attempts, before it is spread.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Puts the key on every call.
#[derive(Clone)]
pub struct WithKey {
    authorization: MetadataValue<Ascii>,
    timeout: Option<Duration>,
}

impl std::fmt::Debug for WithKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithKey")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Interceptor for WithKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.authorization.clone());
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        Ok(request)
    }
}

/// A transport with the key on it.
pub type Transport = InterceptedService<Channel, WithKey>;

/// A connection to a house, on behalf of the owner of a key. It connects when it is first used.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    with_key: WithKey,
}

impl Client {
    /// A client for `http://host:port`. Calls give up after `timeout`; streams never do.
    ///
    /// # Errors
    /// When the address or the key can't be used.
    pub fn new(server: &str, key: &str, timeout: Duration) -> Result<Self, Failure> {
        let endpoint = Endpoint::from_shared(server.to_owned())
            .map_err(|error| {
                Failure::new(
                    USAGE,
                    format!("`{server}` is not an address: {error}; use http://host:port"),
                )
            })?
            .connect_timeout(Duration::from_secs(10))
            // A watcher has nothing to say for months: without this it would not notice that nobody is there any more.
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .http2_adaptive_window(true);
        let authorization = format!("Bearer {key}").parse().map_err(|_| {
            Failure::new(
                DENIED,
                "the key holds characters that no key has: check that it was copied whole",
            )
        })?;
        Ok(Self {
            channel: endpoint.connect_lazy(),
            with_key: WithKey {
                authorization,
                timeout: Some(timeout),
            },
        })
    }

    fn transport(&self, timeout: Option<Duration>) -> Transport {
        InterceptedService::new(
            self.channel.clone(),
            WithKey {
                timeout,
                ..self.with_key.clone()
            },
        )
    }

    /// Submitting.
    #[must_use]
    pub fn intake(&self) -> IntakeServiceClient<Transport> {
        IntakeServiceClient::new(self.transport(self.with_key.timeout))
    }

    /// Reference data.
    #[must_use]
    pub fn registry(&self) -> RegistryServiceClient<Transport> {
        RegistryServiceClient::new(self.transport(self.with_key.timeout))
            .max_decoding_message_size(MAX_ANSWER)
    }

    /// Questions.
    #[must_use]
    pub fn projections(&self) -> ProjectionsServiceClient<Transport> {
        ProjectionsServiceClient::new(self.transport(self.with_key.timeout))
            .max_decoding_message_size(MAX_ANSWER)
    }

    /// Alerts.
    #[must_use]
    pub fn alerts(&self) -> AlertsServiceClient<Transport> {
        AlertsServiceClient::new(self.transport(self.with_key.timeout))
            .max_decoding_message_size(MAX_ANSWER)
    }

    /// The live stream of alerts, which has no deadline.
    #[must_use]
    pub fn live_alerts(&self) -> AlertsServiceClient<Transport> {
        AlertsServiceClient::new(self.transport(None)).max_decoding_message_size(MAX_ANSWER)
    }

    /// The log itself: the stream has no deadline.
    #[must_use]
    pub fn log(&self) -> LogServiceClient<Transport> {
        LogServiceClient::new(self.transport(None)).max_decoding_message_size(MAX_ANSWER)
    }

    /// One replica of the projection.
    #[must_use]
    pub fn replica(&self) -> ReplicaServiceClient<Transport> {
        ReplicaServiceClient::new(self.transport(self.with_key.timeout))
    }

    /// Its checkpoint: the stream has no deadline.
    #[must_use]
    pub fn checkpoint(&self) -> ReplicaServiceClient<Transport> {
        ReplicaServiceClient::new(self.transport(None))
    }

    /// Submits many returns through the bulk stream, in order. `answered` hears of each return with its answer. After a broken connection it
    /// goes on with the first return that was not answered: repeats are harmless.
    ///
    /// # Errors
    /// When the service refuses the stream as a whole, or can't be reached again.
    pub async fn submit_all(
        &self,
        returns: &[Return],
        validate_only: bool,
        mut answered: impl FnMut(usize, &Answer),
    ) -> Result<Summary, Failure> {
        let mut summary = Summary::default();
        let mut next = 0;
        let mut fruitless = 0;
        while next < returns.len() {
            let before = next;
            let mut note = |response: SubmitReturnsResponse| {
                let Some(answer) = response.result else {
                    return;
                };
                if response.sequence == next as u64 {
                    summary.count(&answer);
                    answered(next, &answer);
                    next += 1;
                }
            };
            let Err(status) = self
                .submit_from(returns, before, validate_only, &mut note)
                .await
            else {
                continue;
            };
            fruitless = if next > before { 0 } else { fruitless + 1 };
            let Some(pause) = pause_after(&status, fruitless) else {
                return Err(refusal(&status));
            };
            if fruitless >= MAX_FRUITLESS {
                return Err(refusal(&status));
            }
            tokio::time::sleep(pause).await;
        }
        Ok(summary)
    }

    async fn submit_from(
        &self,
        returns: &[Return],
        first: usize,
        validate_only: bool,
        note: &mut impl FnMut(SubmitReturnsResponse),
    ) -> Result<(), Status> {
        let rest: Vec<(usize, Return)> = returns.iter().cloned().enumerate().skip(first).collect();
        let requests = futures::stream::iter(rest).map(move |(index, ret)| SubmitReturnsRequest {
            sequence: index as u64,
            r#return: Some(ret),
            validate_only,
        });
        let mut intake = IntakeServiceClient::new(self.transport(None));
        let mut answers = intake.submit_returns(requests).await?.into_inner();
        while let Some(response) = answers.next().await {
            note(response?);
        }
        Ok(())
    }
}

/// How long to wait before a call that failed is made again; nothing when that would not help. A service that is busy says how long,
/// and whoever was refused together comes back apart.
#[must_use]
pub fn pause_after(status: &Status, attempt: u32) -> Option<Duration> {
    let asked = ApiError::from_status(status).retry_after;
    let may_help = match status.code() {
        Code::Unavailable | Code::Unknown | Code::Cancelled => true,
        // A disk that is full, or a message that is too large, stays so.
        Code::ResourceExhausted => asked.is_some(),
        _ => false,
    };
    let growing = Duration::from_millis(200) * 2_u32.pow(attempt.min(6));
    may_help.then(|| spread(asked.unwrap_or_default().max(growing)))
}

/// A pause within its limit, and at random up to half as long again.
pub(crate) fn spread(pause: Duration) -> Duration {
    pause
        .min(LONGEST_PAUSE)
        .mul_f64(rand::random_range(1.0..1.5))
}

/// What became of many returns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Became a new revision.
    pub accepted: usize,
    /// Repeats of what was there.
    pub repeats: usize,
    /// Refused because another revision, or another content of the same key, was there.
    pub conflicts: usize,
    /// Refused because of faults.
    pub rejected: usize,
    /// Accepted with remarks.
    pub warnings: usize,
    /// Includes everything that was accepted.
    pub cut: Cut,
}

impl Summary {
    fn count(&mut self, answer: &Answer) {
        use qipp_api::proto::intake::v1::Decision;
        match answer {
            Answer::Rejection(_) => self.rejected += 1,
            Answer::Receipt(receipt) => {
                match receipt.decision() {
                    Decision::Accepted => self.accepted += 1,
                    Decision::Repeat => self.repeats += 1,
                    Decision::Conflict | Decision::KeyReused | Decision::Unspecified => {
                        self.conflicts += 1
                    }
                }
                self.warnings += receipt.warnings.len();
                merge(&mut self.cut, receipt.cut.as_ref());
            }
        }
    }
}

/// Includes another cut.
pub fn merge(cut: &mut Cut, other: Option<&Cut>) {
    for place in other.into_iter().flat_map(|other| &other.next) {
        let held = cut
            .next
            .iter_mut()
            .find(|held| held.topic == place.topic && held.partition == place.partition);
        match held {
            Some(held) => held.offset = held.offset.max(place.offset),
            None => cut.next.push(place.clone()),
        }
    }
}

/// A call that failed because nobody answers, as a person reads it.
pub fn unreachable(server: &str, status: &Status) -> Failure {
    match status.code() {
        // A service that answers says why; only who is not there says nothing more.
        Code::Unavailable if status.details().is_empty() => {
            let failure = refusal(status);
            Failure::new(
                UNAVAILABLE,
                format!("{} — is `qipp serve` running at {server}?", failure.error),
            )
        }
        _ => refusal(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qipp_api::error::Code as ApiCode;

    #[test]
    fn a_refused_call_comes_back_after_what_the_service_asked_for_and_not_with_the_others() {
        let asked = Duration::from_secs(3);
        let busy = ApiError::new(ApiCode::ResourceExhausted, "TOO_MANY_CALLS", "later");
        let told = busy.clone().retry_after(asked).into_status("");
        let pauses: Vec<Duration> = (0..100).map(|_| pause_after(&told, 1).unwrap()).collect();
        let in_time = |pause: &Duration| *pause >= asked && *pause < asked * 3 / 2;
        assert!(pauses.iter().all(in_time));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        // Without a time it is a limit that stays.
        assert_eq!(pause_after(&busy.into_status(""), 1), None);
        let away = Status::unavailable("nobody is there");
        assert!(pause_after(&away, 4) > pause_after(&away, 1));
        let endless = ApiError::unavailable("BUSY", "later", Duration::from_secs(86_400));
        assert!(pause_after(&endless.into_status(""), 1).unwrap() <= LONGEST_PAUSE * 3 / 2);
    }
}
