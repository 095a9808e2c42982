//! What the clients of the brokers last said of themselves: the reason that a person looks for when nothing comes.
//!
//! A client says much while it tries again and again, each time to nobody in particular. Of two reasons the one is kept that a person can do
//! something about: "all brokers are down" follows every refused password, and explains nothing.

use crate::LogError;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long a reason is worth telling. A client that goes on to fail in the same way says so every half minute.
const STANDS: Duration = Duration::from_secs(60);

/// What a reason is worth to a person; more comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Nobody can be reached, which follows from all that comes after this.
    Nobody,
    /// Something failed, and may not fail the next time.
    Passing,
    /// A broker has a name that nobody knows.
    Name,
    /// It stays so until somebody changes something.
    Refusal,
}

/// What an error is worth, and where to look.
fn judge(code: RDKafkaErrorCode, reason: &str) -> (Worth, &'static str) {
    use RDKafkaErrorCode as Code;
    match code {
        Code::AllBrokersDown => (Worth::Nobody, ""),
        Code::Resolve => (Worth::Name, "the names of the brokers"),
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => (
            Worth::Refusal,
            "sasl.mechanism, sasl.username and sasl.password, and what the brokers know of them",
        ),
        // A broker that is killed at that moment is no refusal.
        Code::SSL if !reason.contains("unexpected eof") => (Worth::Refusal, CERTIFICATES),
        // Said so of what is found or heard when the client believes to be connected already, as under TLS 1.3.
        Code::BrokerTransportFailure
            if reason.contains("SSL alert") || reason.contains("certificate verify failed") =>
        {
            (Worth::Refusal, CERTIFICATES)
        }
        // A broker that can make nothing of a client hangs up, as one does that goes down.
        Code::BrokerTransportFailure if HUNG_UP.iter().any(|words| reason.contains(words)) => {
            (Worth::Passing, PROTOCOL)
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => {
            (Worth::Refusal, "what the brokers let this user do")
        }
        _ => (Worth::Passing, ""),
    }
}

const CERTIFICATES: &str = "security.protocol, ssl.ca.location, and ssl.keystore.location where brokers ask for a certificate";
const PROTOCOL: &str = "security.protocol, if the brokers are up";
/// How that is said: it depends on whether the client was waiting, writing or reading.
const HUNG_UP: [&str; 3] = ["Disconnected", "Broken pipe", "Connection reset"];

#[derive(Clone, Debug)]
struct Said {
    at: Instant,
    worth: Worth,
    reason: String,
}

impl Said {
    fn new(at: Instant, code: RDKafkaErrorCode, reason: &str) -> Said {
        let (worth, look_at) = judge(code, reason);
        let reason = match look_at {
            "" => reason.to_owned(),
            look_at => format!("{reason} (look at {look_at})"),
        };
        Said { at, worth, reason }
    }

    fn stands(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < STANDS
    }

    /// Is this to be told rather than what was said before it?
    fn displaces(&self, before: &Said) -> bool {
        self.worth >= before.worth || !before.stands(self.at)
    }
}

/// What the clients of a log last said, and what they are told to say it to.
#[derive(Clone, Debug, Default)]
pub(super) struct LastSaid(Arc<Mutex<Option<Said>>>);

impl LastSaid {
    fn note(&self, said: Said) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|before| said.displaces(before)) {
            *last = Some(said);
        }
    }

    fn last(&self) -> Option<Said> {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.clone().filter(|said| said.stands(Instant::now()))
    }

    /// This, and what the clients last said if they said anything.
    pub(super) fn with(&self, what: &str) -> String {
        match self.last() {
            Some(Said { reason, .. }) => {
                format!("{what}; the client of the brokers last said: {reason}")
            }
            None => what.to_owned(),
        }
    }

    /// A failure to do this, for this reason.
    pub(super) fn io(&self, doing: &'static str, cause: &str) -> LogError {
        let cause = self.with(cause);
        LogError::Io { doing, cause }
    }

    /// That the brokers refuse this client, or it refuses them, if so.
    pub(super) fn refusal(&self) -> Option<LogError> {
        let said = self.last()?;
        (said.worth == Worth::Refusal).then(|| LogError::InvalidConfig {
            what: format!("these properties of the client of Kafka: {}", said.reason),
        })
    }
}

impl ClientContext for LastSaid {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Brokers come and go, and the client keeps trying: a detail for those who look for it.
        tracing::debug!(target: "librdkafka", ?level, facility, message);
        // That a broker hung up is told here only.
        if facility == "FAIL" {
            let reason = message
                .split_once("]: ")
                .map_or(message, |(_, reason)| reason);
            let code = RDKafkaErrorCode::BrokerTransportFailure;
            self.note(Said::new(Instant::now(), code, reason));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        let code = error.rdkafka_error_code();
        let code = code.unwrap_or(RDKafkaErrorCode::Unknown);
        self.note(Said::new(Instant::now(), code, reason));
    }
}

impl ConsumerContext for LastSaid {}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as Code;

    fn said(at: Instant, code: Code, reason: &str) -> Said {
        Said::new(at, code, reason)
    }

    /// From the least to the most. The texts are those of librdkafka 2.12 and Kafka 4.1.
    #[test]
    fn a_reason_that_a_person_can_act_on_wins_over_noise_whichever_is_said_first() {
        let ranks = [
            vec![(Code::AllBrokersDown, "3/3 brokers are down")],
            vec![
                (
                    Code::BrokerTransportFailure,
                    "Connect to ipv4#10.0.0.1:9092 failed: Connection refused",
                ),
                (
                    Code::BrokerTransportFailure,
                    "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?",
                ),
                (
                    Code::BrokerTransportFailure,
                    "error:0A000126:SSL routines::unexpected eof while reading",
                ),
                (
                    Code::SSL,
                    "SSL handshake failed: error:0A000126:SSL routines::unexpected eof while reading",
                ),
                (Code::OperationTimedOut, "1 request(s) timed out"),
            ],
            vec![(Code::Resolve, "Failed to resolve 'kafka-4:9092'")],
            vec![
                (
                    Code::Authentication,
                    "Authentication failed: Invalid username or password",
                ),
                (Code::SaslAuthenticationFailed, "refused"),
                (Code::UnsupportedSASLMechanism, "mechanism handshake failed"),
                (Code::SSL, "SSL handshake failed: certificate verify failed"),
                (
                    Code::BrokerTransportFailure,
                    "Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42",
                ),
                (
                    Code::BrokerTransportFailure,
                    "error:0A000086:SSL routines::certificate verify failed",
                ),
                (Code::TopicAuthorizationFailed, "Topic authorization failed"),
            ],
        ];
        let now = Instant::now();
        for (less, lower) in ranks.iter().enumerate() {
            for (more, higher) in ranks.iter().enumerate() {
                for (low, high) in lower
                    .iter()
                    .flat_map(|low| higher.iter().map(move |high| (low, high)))
                {
                    let (low, high) = (said(now, low.0, low.1), said(now, high.0, high.1));
                    assert_eq!(high.displaces(&low), more >= less, "{high:?} after {low:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_longer_said_makes_room() {
        let then = Instant::now();
        let refused = said(then, Code::Authentication, "refused");
        let down = |at| said(at, Code::AllBrokersDown, "all are down");
        assert!(!down(then + STANDS / 2).displaces(&refused));
        assert!(down(then + STANDS).displaces(&refused));
    }

    #[test]
    fn a_refusal_is_told_with_the_properties_to_look_at_and_nothing_else_is_one() {
        let last = LastSaid::default();
        assert_eq!(last.with("no answer"), "no answer");
        last.error(KafkaError::Global(Code::BrokerTransportFailure), "refused");
        assert_eq!(last.refusal(), None);
        last.error(KafkaError::Global(Code::Authentication), "Invalid username");
        last.error(
            KafkaError::Global(Code::AllBrokersDown),
            "1/1 brokers are down",
        );
        let refusal = last.refusal().expect("it is one");
        assert_eq!(refusal.code(), "LOG_INVALID_CONFIG");
        for told in [refusal.to_string(), last.with("no answer")] {
            assert!(told.contains("Invalid username (look at "), "{told}");
            assert!(told.contains("sasl.password"), "{told}");
        }
    }

    #[test]
    fn a_broker_that_hangs_up_is_told_with_the_property_to_look_at() {
        for reason in [
            "Disconnected: connection closed by peer",
            "Send failed: Broken pipe (after 0ms in state UP)",
            "Receive failed: Connection reset by peer",
        ] {
            let last = LastSaid::default();
            let down = || {
                let code = Code::AllBrokersDown;
                last.error(KafkaError::Global(code), "1/1 brokers are down");
            };
            let gone = format!("[thrd:a:1/bootstrap]: a:1/bootstrap: {reason}");
            down();
            last.log(RDKafkaLogLevel::Info, "FAIL", &gone);
            down();
            let told = last.with("no answer");
            assert!(
                told.contains(&format!(": a:1/bootstrap: {reason}")),
                "{told}"
            );
            assert!(told.contains("security.protocol"), "{told}");
            assert_eq!(last.refusal(), None);
        }
    }
}
