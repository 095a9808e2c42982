//! `qipp ready`: is a process ready? For the probes of containers, which want an exit code, and for people, who want the reasons.

use std::time::Duration;

use clap::Args;
use qipp_api::error::ApiError;
use serde_json::Value;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;

use crate::exit::{self, Failure, Outcome, UNAVAILABLE, USAGE};

const HELP: &str = "\
Asks the standard health service (grpc.health.v1) for the whole process, and when that does not serve, /readyz for the reasons. Needs no key.

Examples:
  qipp ready
  qipp ready http://10.0.0.7:8080 --wait 60";

/// How soon it is asked again.
const AGAIN: Duration = Duration::from_millis(250);

/// The longest that one answer is waited for.
const ANSWER: Duration = Duration::from_secs(3);

/// The largest page of reasons, bytes.
const PAGE: usize = 64 << 10;

/// Say whether a process is ready: 0 when it is, else 6 and the reasons.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct ReadyArgs {
    /// Address of the process.
    #[arg(
        value_name = "URL",
        env = "QIPP_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,
    /// Wait for so long until it is.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    wait: u64,
}

pub(crate) async fn run(args: ReadyArgs) -> Outcome {
    let endpoint = Endpoint::from_shared(args.url.clone()).map_err(|error| {
        let what = format!(
            "`{}` is not an address: {error}; use http://host:port",
            args.url
        );
        Failure::new(USAGE, what)
    })?;
    let channel = endpoint.connect_timeout(ANSWER).connect_lazy();
    let until = Instant::now() + Duration::from_secs(args.wait);
    loop {
        let Some(why) = ask(channel.clone()).await else {
            println!("ready");
            return Ok(exit::OK);
        };
        if Instant::now() >= until {
            let what = format!("{} is not ready: {why}", args.url);
            return Err(Failure::new(UNAVAILABLE, what));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Why it is not ready; nothing when it is.
async fn ask(channel: Channel) -> Option<String> {
    let mut client = HealthClient::new(channel.clone());
    // The empty name is the whole process.
    let health = client.check(HealthCheckRequest::default());
    match tokio::time::timeout(ANSWER, health).await {
        Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => None,
        Ok(Ok(_)) => Some(reasons(channel).await),
        Ok(Err(status)) => {
            let error = ApiError::from_status(&status);
            Some(format!(
                "it can't be reached, or is no such service ({})",
                error.message
            ))
        }
        Err(_) => Some(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

/// As `/readyz` has them.
async fn reasons(channel: Channel) -> String {
    let unknown = || "it says NOT_SERVING; look at its log lines for the reasons".to_owned();
    let page = async {
        let request = http::Request::get("/readyz").version(http::Version::HTTP_2);
        let request = request.body(tonic::body::Body::empty()).ok()?;
        let answer = channel.oneshot(request).await.ok()?;
        let body = axum::body::Body::new(answer.into_body());
        let bytes = axum::body::to_bytes(body, PAGE).await.ok()?;
        let page: Value = serde_json::from_slice(&bytes).ok()?;
        let reasons = page.get("reasons")?.as_array()?;
        let told = reasons.iter().map(|reason| {
            let text = |name: &str| reason[name].as_str().unwrap_or_default().to_owned();
            format!("\n  {}: {}", text("code"), text("detail"))
        });
        Some(told.collect::<String>())
    };
    match tokio::time::timeout(ANSWER, page).await {
        Ok(Some(told)) if !told.is_empty() => told,
        _ => unknown(),
    }
}
