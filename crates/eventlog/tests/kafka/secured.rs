//! Brokers that want a password.

use crate::brokers::{on, open, record};
use futures::StreamExt;
use qipp_eventlog::{EventLog, KafkaConfig, LogError, Topic};
use qipp_kafka_cluster::{Listener, PASSWORD, Secured, USER, shared_secured};
use std::time::{Duration, Instant};

/// Longer than any refusal takes, on a machine with much else to do, and far below the time-out.
const SOON: Duration = Duration::from_secs(30);

/// The broker that all tests about this share.
pub(crate) async fn broker() -> &'static Secured {
    let starting = tokio::task::spawn_blocking(shared_secured);
    let started = starting.await.expect("no panic");
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// A log of its own on the broker, by this way, with these properties.
pub(crate) async fn by(listener: Listener, properties: &[(&str, &str)]) -> KafkaConfig {
    let mut config = on(&broker().await.brokers(listener));
    // Nothing here may rely on it.
    config.timeout = Duration::from_secs(120);
    let properties = properties.iter();
    config.properties = properties
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    config
}

/// Opens, appends, and reads what was appended.
pub(crate) async fn works(config: KafkaConfig) {
    let log = open(config).await.unwrap_or_else(|error| panic!("{error}"));
    let receipts = log.append(Topic::Returns, 1, vec![record("kept")]).await;
    let at = receipts.unwrap_or_else(|error| panic!("{error}"))[0].position;
    let mut tail = log.tail(Topic::Returns, 1, at.offset);
    let batch = tail.next().await.expect("the tail goes on");
    let batch = batch.expect("it can be read");
    assert_eq!(&batch[0].payload[..], b"kept");
    log.close().await;
}

/// How opening fails, and that it does not take the whole time-out.
pub(crate) async fn refusal(config: KafkaConfig) -> LogError {
    let began = Instant::now();
    let error = open(config).await.expect_err("it is refused");
    let took = began.elapsed();
    assert!(took < SOON, "after {took:?}: {error}");
    error
}

/// It says all of this, and what the brokers said is not lost in what follows from it.
pub(crate) fn says(error: &LogError, code: &str, parts: &[&str]) {
    assert_eq!(error.code(), code, "{error}");
    let told = error.to_string();
    for part in parts {
        assert!(told.contains(part), "{part} is missing: {told}");
    }
    assert!(!told.contains("brokers are down"), "{told}");
    assert!(!told.contains(PASSWORD), "{told}");
}

fn login<'a>(user: &'a str, password: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", user),
        ("sasl.password", password),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knows_the_password_is_let_in() {
    works(by(Listener::Password, &login(USER, PASSWORD)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_an_unknown_user_are_told_as_such_and_soon() {
    for (user, password) in [(USER, "guessed"), ("nobody", PASSWORD)] {
        let error = refusal(by(Listener::Password, &login(user, password)).await).await;
        let parts = [
            "Invalid username or password",
            "sasl.username",
            "sasl.password",
        ];
        says(&error, "LOG_INVALID_CONFIG", &parts);
    }
}

/// A client that shows no password at all is hung up on, which nobody can tell from a broker that goes down: the time-out ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_password_is_told_where_to_look() {
    let mut config = by(Listener::Password, &[]).await;
    config.timeout = Duration::from_secs(4);
    says(&refusal(config).await, "LOG_IO", &["security.protocol"]);
}

/// What the client of Kafka says of it is a riddle: that OpenSSL was not there when somebody built it.
#[cfg(not(feature = "kafka-tls"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_without_tls_says_how_to_make_one_with_it() {
    for (name, value) in [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
    ] {
        let error = refusal(by(Listener::PasswordOverTls, &[(name, value)]).await).await;
        says(
            &error,
            "LOG_INVALID_CONFIG",
            &[name, "--features kafka-tls"],
        );
    }
}
