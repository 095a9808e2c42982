//! A house in a process of its own, and somebody who sends to it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use qipp::client::Client;
use qipp_api::proto::events::v1::Cut;
use qipp_api::proto::intake::v1::{Decision, Receipt, SubmitReturnRequest};
use qipp_api::proto::projections::v1::{GetStatusRequest, GetStatusResponse};
use qipp_api::proto::registry::v1::RecordFactsRequest;
use qipp_tests::facts;
use qipp_tests::returns::four_hours;
use qipp_tests::survive::process::{Binary, Served};
use tempfile::TempDir;
use tokio::process::Command;
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("qipp-survive-")
        .tempdir()
        .unwrap()
}

pub(crate) fn binary() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_qipp-under-test"))
}

/// A binary that gets variables.
pub(crate) fn binary_with(variables: &[(&str, &str)]) -> Binary {
    Binary {
        variables: variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
        ..binary()
    }
}

/// A house that has taken so many returns and was stopped: its folder, in which its data is in `data`, and what it acknowledged.
pub(crate) async fn stopped(returns: u32) -> (TempDir, Vec<(u32, Receipt)>) {
    let folder = folder();
    let house = House::with_nation(&binary(), &folder.path().join("data")).await;
    let mut acknowledged = Vec::new();
    for number in 0..returns {
        acknowledged.push((number, house.submit(number).await.unwrap()));
    }
    house.terminate().await;
    (folder, acknowledged)
}

pub(crate) struct House {
    pub(crate) served: Served,
    pub(crate) url: String,
    pub(crate) data: PathBuf,
}

impl House {
    pub(crate) async fn start(binary: &Binary, data: &Path) -> Self {
        std::fs::create_dir_all(data).unwrap();
        let said = said(data);
        let mut served = Served::spawn(binary, data, &said, &[]).unwrap();
        let url = served.address().await;
        let url =
            url.unwrap_or_else(|why| panic!("{why}: {}", std::fs::read_to_string(&said).unwrap()));
        Self {
            served,
            url,
            data: data.to_owned(),
        }
    }

    /// A house with the small nation in it.
    pub(crate) async fn with_nation(binary: &Binary, data: &Path) -> Self {
        let house = Self::start(binary, data).await;
        for facts in facts::small_nation().chunks(qipp_api::files::MAX_FACTS_PER_CALL) {
            let request = RecordFactsRequest {
                facts: facts.to_vec(),
                validate_only: false,
            };
            let mut registry = house.client("operator").registry();
            registry.record_facts(request).await.unwrap();
        }
        house
    }

    /// What it has said to standard error, in all its lives.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(said(&self.data)).unwrap()
    }

    pub(crate) fn key(&self, role: &str) -> String {
        let path = self.data.join("keys").join(format!("{role}.key"));
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    pub(crate) fn client(&self, role: &str) -> Client {
        Client::new(&self.url, &self.key(role), PATIENCE).unwrap()
    }

    /// A verb that calls it.
    pub(crate) fn verb(&self, arguments: &[&str]) -> Command {
        let mut command = binary().command(&self.data);
        command.env("QIPP_SERVER", &self.url).args(arguments);
        command
    }

    pub(crate) async fn submit(&self, number: u32) -> Result<Receipt, Status> {
        submit(&self.client("collector"), number).await
    }

    pub(crate) async fn status(&self, cut: Option<Cut>) -> GetStatusResponse {
        let request = GetStatusRequest {
            read: cut.map(|cut| qipp_api::proto::events::v1::ReadOptions {
                min_cut: Some(cut),
                ..Default::default()
            }),
            digest: true,
        };
        let mut projections = self.client("national").projections();
        projections.get_status(request).await.unwrap().into_inner()
    }

    /// The status when the rules have been evaluated on all that there is.
    pub(crate) async fn settled(&self) -> GetStatusResponse {
        let request = qipp_api::proto::alerts::v1::ListAlertsRequest {
            page_size: 1,
            min_evaluated: self.status(None).await.cut,
            ..Default::default()
        };
        let mut alerts = self.client("national").alerts();
        // On a log that others share, nobody evaluates until one is chosen.
        while let Err(status) = alerts.list_alerts(request.clone()).await {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
        }
        self.status(None).await
    }

    pub(crate) async fn terminate(self) {
        self.served.terminate().await.unwrap();
    }
}

fn said(data: &Path) -> PathBuf {
    data.with_extension("said")
}

/// A return that no other number has, of one of three trusts and one of 24 months. It is a revision or the first.
pub(crate) async fn submit(client: &Client, number: u32) -> Result<Receipt, Status> {
    let org = ["RA1", "RA2", "RB1"][number as usize % 3];
    let month = number / 3 % 24;
    let period = format!("{}-{:02}", 2009 + month / 12, month % 12 + 1);
    let mut ret = four_hours(org, &period, f64::from(number), 1_000_000.0);
    ret.idempotency_key = format!("number-{number}");
    let request = SubmitReturnRequest {
        r#return: Some(ret),
        validate_only: false,
    };
    let answer = client.intake().submit_return(request).await?.into_inner();
    Ok(answer.receipt.unwrap())
}

/// Everything that was acknowledged is there: sending it again is a repeat of the same revision at the same place.
pub(crate) async fn all_there(house: &House, acknowledged: &[(u32, Receipt)]) {
    let client = house.client("collector");
    for (number, receipt) in acknowledged {
        let again = submit(&client, *number).await.unwrap();
        assert_eq!(again.decision(), Decision::Repeat, "{number}");
        assert_eq!(
            (again.revision, &again.position),
            (receipt.revision, &receipt.position),
            "{number}"
        );
    }
}
