//! The binary as people start it: its verbs, its exit codes, its end by a signal, and what stock clients see of it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use qipp::client::Client;
use qipp_api::proto::alerts::v1::WatchAlertsRequest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// The default of `grace_seconds`: a process that was told to end is gone by then.
const GRACE: Duration = Duration::from_secs(20);

/// `qipp`, as cargo has built it with these tests.
const BINARY: &str = env!("CARGO_BIN_EXE_qipp-under-test");

pub(crate) fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../data")
        .join(name)
        .display()
        .to_string()
}

pub(crate) fn command(data_dir: &Path) -> Command {
    let mut command = Command::new(BINARY);
    let is_read = |name: &String| name.starts_with("QIPP_") || name.starts_with("AWS_");
    for name in std::env::vars().map(|(name, _)| name).filter(is_read) {
        command.env_remove(name);
    }
    command
        .env("QIPP_DATA_DIR", data_dir)
        .env("RUST_LOG", "warn")
        .kill_on_drop(true);
    command
}

/// `qipp serve` in a process of its own.
pub(crate) struct Served {
    process: Child,
    /// Held open: a process whose standard output is gone may not say another word.
    _output: Lines<BufReader<ChildStdout>>,
    url: String,
    folder: PathBuf,
}

impl Served {
    pub(crate) async fn start(folder: &Path) -> Self {
        let mut serve = command(folder);
        serve
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped());
        let mut process = serve.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = output
            .next_line()
            .await
            .unwrap()
            .expect("it says where it listens");
        let url = first
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap()
            .to_owned();
        Self {
            process,
            _output: output,
            url,
            folder: folder.to_owned(),
        }
    }

    /// Runs a verb against it.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut verb = command(&self.folder);
        verb.env("QIPP_SERVER", &self.url)
            .args(arguments)
            .output()
            .await
            .unwrap()
    }

    /// Runs a verb that has to succeed, and gives the lines of its output as JSON.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[arguments, &["--json"]].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn client(&self) -> Client {
        let key = std::fs::read_to_string(self.folder.join("keys/national.key")).unwrap();
        Client::new(&self.url, key.trim(), Duration::from_secs(60)).unwrap()
    }

    async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url.clone())
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    /// Tells it to end, and gives the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.process.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let ended = tokio::time::timeout(GRACE, self.process.wait()).await;
        ended
            .expect("it ends within its grace period")
            .unwrap()
            .code()
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("qipp-binary-")
        .tempdir()
        .unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_figures_go_in_by_the_command_line_and_come_out_and_verify_finds_all_equal() {
    let folder = folder();
    let served = Served::start(folder.path()).await;
    let (markers, more) = (data("markers.csv"), data("markers_supplementary.csv"));
    served.json(&["register", "markers", &markers, &more]).await;
    served
        .json(&["register", "pct-sha", &data("org_pct_sha_2010.csv")])
        .await;
    let file = data("rtt_pct_monthly_2009-12_2010-05.csv.gz");
    let dry = served
        .json(&["submit", &file, "--format", "rtt", "--dry-run"])
        .await;
    let summary = served
        .json(&["submit", &file, "--format", "rtt"])
        .await
        .pop()
        .unwrap();
    assert_eq!(dry.last().unwrap()["accepted"], summary["accepted"]);
    assert!(
        summary["accepted"].as_u64().unwrap() > 900 && summary["rejected"] == 0,
        "{summary}"
    );
    let again = served
        .json(&["submit", &file, "--format", "rtt"])
        .await
        .pop()
        .unwrap();
    assert_eq!(
        (&again["repeats"], &again["accepted"]),
        (&summary["accepted"], &Value::from(0))
    );

    let pages = served
        .json(&[
            "query", "rollup", "sha_2010", "nation", "--marker", "RTT_INC", "--from", "2010-05",
        ])
        .await;
    let cells: Vec<&Value> = pages
        .iter()
        .flat_map(|page| page["cells"].as_array().unwrap())
        .collect();
    let published = published("2010-05,incomplete,national,ENG,England,999");
    assert_eq!(
        (cells.len(), &cells[0]["groupCode"]),
        (1, &Value::from("ENG"))
    );
    assert_eq!(
        cells[0]["measured"]["denominator"].as_f64().unwrap(),
        published
    );

    // A watcher that never goes away does not keep the house from closing, and is told where to go on.
    let mut alerts = served.client().live_alerts();
    let mut watched = alerts
        .watch_alerts(WatchAlertsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(served.terminate().await, Some(0));
    let told = loop {
        match watched.message().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert_eq!(told.unwrap_err().code(), tonic::Code::Unavailable);

    let mut verify = command(folder.path());
    verify.args([
        "verify",
        "--published",
        &data("rtt_published_rollups_2009-12_2010-05.csv.gz"),
        "--tree",
        "sha_2010",
    ]);
    let verified = verify.output().await.unwrap();
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let report = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(
        report.contains("equal") && !report.contains("DIFFERENT"),
        "{report}"
    );
}

/// Total pathways of a published row.
fn published(row: &str) -> f64 {
    let text = String::from_utf8(qipp_tests::real::read(
        "rtt_published_rollups_2009-12_2010-05.csv.gz",
    ))
    .unwrap();
    let line = text.lines().find(|line| line.starts_with(row)).unwrap();
    let mut record = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line.as_bytes());
    let cells = record.records().next().unwrap().unwrap();
    cells[7].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_obligations_and_schemes_go_in_by_lines_of_json_and_are_asked_for() {
    let folder = folder();
    let served = Served::start(folder.path()).await;
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let facts = write(
        "facts.jsonl",
        r#"{"organisationRecorded": {"orgCode": "RA1", "name": "A trust", "kind": "trust"}}

{"deadlineSet": {"dataset": "DATASET_QUALITY", "period": "2012-04", "due": "2012-05-18"}}
{"obligationSet": {"orgCode": "RA1", "dataset": "DATASET_SAVINGS", "from": "2012-04"}}
"#,
    );
    let scheme = write(
        "schemes.jsonl",
        r#"{"orgCode": "RA1", "schemeId": "THEATRES", "title": "Fewer cancelled lists", "category": "SCHEME_CATEGORY_CLINICAL_PRODUCTIVITY", "start": "2012-04", "plannedPence": ["12000000"], "fullYearEffectPence": "150000000", "recurrent": true}"#,
    );
    let counts = async |arguments: &[&str]| {
        let told = served.json(arguments).await.pop().unwrap();
        (told["recorded"].as_u64(), told["unchanged"].as_u64())
    };
    for (arguments, expected) in [
        (&["register", "facts", &facts, "--dry-run"][..], (3, 0)),
        (&["register", "facts", &facts], (3, 0)),
        (&["register", "facts", &facts], (0, 3)),
        (&["register", "schemes", &scheme, "--dry-run"], (1, 0)),
        (&["register", "schemes", &scheme], (1, 0)),
        (&["register", "schemes", &scheme], (0, 1)),
    ] {
        let (recorded, unchanged) = expected;
        assert_eq!(
            counts(arguments).await,
            (Some(recorded), Some(unchanged)),
            "{arguments:?}"
        );
    }
    let text = async |arguments: &[&str]| {
        let output = served.run(arguments).await;
        String::from_utf8(output.stdout).unwrap()
    };
    let deadlines = text(&["query", "deadlines"]).await;
    assert!(
        deadlines.contains("2012-04") && deadlines.contains("2012-05-18"),
        "{deadlines}"
    );
    let organisation = text(&["query", "organisation", "RA1"]).await;
    assert!(organisation.contains("owes savings"), "{organisation}");
    assert!(
        text(&["query", "schemes", "RA1"])
            .await
            .contains("THEATRES")
    );

    let wrong = write(
        "wrong.jsonl",
        "{\"deadlineSet\": {\"dataset\": \"DATASET_QUALITY\", \"deu\": \"2012-05-18\"}}\n{\n",
    );
    let refused = served.run(&["register", "facts", &wrong]).await;
    let said = errors(&refused);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(
        said.contains("UNKNOWN_FIELD in line 1") && said.contains("BAD_JSON in line 2"),
        "{said}"
    );
    let unknown = write(
        "unknown.jsonl",
        r#"{"orgCode": "RZ9", "schemeId": "THEATRES", "title": "x", "category": "SCHEME_CATEGORY_CLINICAL_PRODUCTIVITY", "start": "2012-04", "plannedPence": ["1"], "fullYearEffectPence": "1"}"#,
    );
    let refused = served.run(&["register", "schemes", &unknown]).await;
    let said = errors(&refused);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("RZ9 THEATRES"), "{said}");
    assert_eq!(served.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_tell_a_script_what_went_wrong() {
    let folder = folder();
    let served = Served::start(folder.path()).await;
    let refused = folder.path().join("refused.csv");
    std::fs::write(
        &refused,
        "org_code,period,marker,numerator,denominator\nRA1,Apr-11,AE_4H,90,100\nRZ9,2011-04,AE_4H,9,10\n",
    )
    .unwrap();
    let unknown = folder.path().join("unknown.csv");
    std::fs::write(
        &unknown,
        "org_code,period,marker,numerator,denominator\nRZ9,2011-04,AE_4H,90,100\n",
    )
    .unwrap();
    let wrong = folder.path().join("wrong.key");
    std::fs::write(&wrong, qipp_tests::no_key()).unwrap();
    let own = folder.path().join("keys/collector.key");
    let [refused, unknown, wrong, own] =
        [&refused, &unknown, &wrong, &own].map(|path| path.display().to_string());
    for (arguments, code, said) in [
        (vec!["query", "status"], 0, ""),
        (vec!["query", "statuses"], 2, "statuses"),
        (
            vec!["submit", &refused],
            3,
            "EXCEL_DATE at line 2, column period",
        ),
        // In the same answer: one fault hides no other.
        (
            vec!["submit", &refused],
            3,
            "UNKNOWN_ORGANISATION at line 3, column org_code",
        ),
        (
            vec!["submit", &unknown],
            3,
            "UNKNOWN_ORGANISATION at line 2, column org_code",
        ),
        (vec!["query", "series", "RZ9", "AE_4H"], 4, "RZ9"),
        (vec!["query", "status", "--key-file", &wrong], 5, "key"),
        (
            vec![
                "register",
                "markers",
                &data("markers.csv"),
                "--key-file",
                &own,
            ],
            5,
            "operator",
        ),
        (
            vec!["query", "status", "--server", "http://127.0.0.1:1"],
            6,
            "qipp serve",
        ),
    ] {
        let output = served.run(&arguments).await;
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        assert!(
            errors(&output).contains(said),
            "{arguments:?}: {}",
            errors(&output)
        );
    }
    assert_eq!(served.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_house_on_the_same_data_is_refused_with_the_remedy() {
    let folder = folder();
    let served = Served::start(folder.path()).await;
    for verb in [&["serve", "--listen", "127.0.0.1:0"][..], &["verify"]] {
        let second = command(folder.path()).args(verb).output().await.unwrap();
        assert!(!second.status.success(), "{verb:?}: {second:?}");
        let said = errors(&second);
        assert!(
            said.contains("open") && said.to_lowercase().contains("stop"),
            "{verb:?}: {said}"
        );
    }
    // The first one goes on unharmed.
    assert!(served.run(&["query", "status"]).await.status.success());
    let address = served.url.trim_start_matches("http://").to_owned();
    let elsewhere = self::folder();
    let taken = command(elsewhere.path())
        .args(["serve", "--listen", &address])
        .output()
        .await
        .unwrap();
    assert!(
        !taken.status.success() && errors(&taken).contains("--listen"),
        "{}",
        errors(&taken)
    );
    assert_eq!(served.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_clients_find_health_and_the_whole_contract() {
    let folder = folder();
    let served = Served::start(folder.path()).await;
    let services = [
        "qipp.intake.v1.IntakeService",
        "qipp.registry.v1.RegistryService",
        "qipp.projections.v1.ProjectionsService",
        "qipp.alerts.v1.AlertsService",
    ];
    let mut health = HealthClient::new(served.channel().await);
    for service in services.into_iter().chain([""]) {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut states = health.watch(request).await.unwrap().into_inner();
        while states.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    }

    let ask = |message: MessageRequest| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let questions = std::iter::once(MessageRequest::ListServices(String::new()))
        .chain(services.map(|service| MessageRequest::FileContainingSymbol(service.to_owned())));
    let questions: Vec<_> = questions.map(ask).collect();
    let mut reflection = ServerReflectionClient::new(served.channel().await);
    let mut answers = reflection
        .server_reflection_info(futures::stream::iter(questions))
        .await
        .unwrap()
        .into_inner();
    let Some(MessageResponse::ListServicesResponse(listed)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    let listed: Vec<String> = listed
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    assert!(
        services
            .iter()
            .all(|service| listed.iter().any(|name| name == service)),
        "{listed:?}"
    );
    for service in services {
        let answer = answers.message().await.unwrap().unwrap().message_response;
        let Some(MessageResponse::FileDescriptorResponse(files)) = answer else {
            panic!("{service}: {answer:?}")
        };
        assert!(!files.file_descriptor_proto.is_empty());
    }
    drop(answers);
    assert_eq!(served.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_killed_process() {
    let folder = folder();
    let mut served = Served::start(folder.path()).await;
    served
        .json(&[
            "register",
            "markers",
            &data("markers.csv"),
            &data("markers_supplementary.csv"),
        ])
        .await;
    served
        .json(&["register", "pct-sha", &data("org_pct_sha_2010.csv")])
        .await;
    let file = folder.path().join("returns.csv");
    std::fs::write(&file, "org_code,period,marker,numerator,denominator\n5A3,2010-04,RTT_ADM,90,100\n5A4,2010-04,RTT_ADM,80,100\n").unwrap();
    let file = file.display().to_string();
    served.json(&["submit", &file]).await;
    served.process.kill().await.unwrap();

    let served = Served::start(folder.path()).await;
    let again = served.json(&["submit", &file]).await.pop().unwrap();
    assert_eq!(
        (&again["accepted"], &again["repeats"]),
        (&Value::from(0), &Value::from(2))
    );
    assert_eq!(served.terminate().await, Some(0));
}
