//! Brokers with TLS.

use crate::secured::{broker, by, refusal, says, works};
use qipp_eventlog::KafkaConfig;
use qipp_kafka_cluster::{Listener, PASSWORD, USER};
use std::path::Path;
use std::time::Duration;

/// TLS and a password, with one or two properties more, or otherwise.
async fn with(mechanism: &str, password: &str, authority: Option<&Path>) -> KafkaConfig {
    let mut config = by(
        Listener::PasswordOverTls,
        &[
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", mechanism),
            ("sasl.username", USER),
            ("sasl.password", password),
        ],
    )
    .await;
    if let Some(authority) = authority {
        set(
            &mut config,
            "ssl.ca.location",
            authority.to_str().expect("it is text"),
        );
    }
    config
}

fn set(config: &mut KafkaConfig, name: &str, value: &str) {
    config.properties.insert(name.to_owned(), value.to_owned());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_over_tls_opens_by_either_mechanism() {
    let authority = broker().await.authority();
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        works(with(mechanism, PASSWORD, Some(&authority)).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_over_tls_is_told_as_such() {
    let authority = broker().await.authority();
    let error = refusal(with("SCRAM-SHA-512", "guessed", Some(&authority)).await).await;
    says(
        &error,
        "LOG_INVALID_CONFIG",
        &["invalid credentials", "sasl.password"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_authority_is_not_known_is_not_believed() {
    let stranger = broker().await.stranger();
    // Without any, the public authorities are asked.
    for authority in [Some(stranger.as_path()), None] {
        let error = refusal(with("SCRAM-SHA-512", PASSWORD, authority).await).await;
        let parts = ["certificate verify failed", "ssl.ca.location"];
        says(&error, "LOG_INVALID_CONFIG", &parts);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_opens_where_brokers_ask_for_one_and_its_absence_is_told() {
    let broker = broker().await;
    let mut config = by(Listener::MutualTls, &[("security.protocol", "ssl")]).await;
    let authority = broker.authority();
    set(
        &mut config,
        "ssl.ca.location",
        authority.to_str().expect("it is text"),
    );
    let error = refusal(config.clone()).await;
    says(&error, "LOG_INVALID_CONFIG", &["ssl.keystore.location"]);
    let client = broker.client();
    set(
        &mut config,
        "ssl.keystore.location",
        client.to_str().expect("it is text"),
    );
    set(&mut config, "ssl.keystore.password", PASSWORD);
    works(config).await;
}

/// The other side hangs up, which nobody can tell from a broker that goes down: the time-out ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_on_one_side_only_is_told_with_the_property_to_look_at() {
    let mut without = by(Listener::PasswordOverTls, &[]).await;
    let mut only_here = by(Listener::Password, &[("security.protocol", "ssl")]).await;
    for config in [&mut without, &mut only_here] {
        config.timeout = Duration::from_secs(4);
        says(
            &refusal(config.clone()).await,
            "LOG_IO",
            &["security.protocol"],
        );
    }
}
