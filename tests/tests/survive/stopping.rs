//! SIGTERM while clients send: what was taken is answered, the rest is told to come back, watchers are told where to go on, and everything
//! that was acknowledged is there afterwards. A second signal ends at once.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qipp::client::Client;
use qipp_api::proto::alerts::v1::WatchAlertsRequest;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::Barrier;
use tonic::Code;

use crate::house::{House, all_there, binary, binary_with, folder, submit};

/// Sends until it is told that the house is closing, or finds nobody there.
async fn sender(
    client: Client,
    first: u32,
    going: Arc<Barrier>,
) -> Vec<(u32, qipp_api::proto::intake::v1::Receipt)> {
    let mut acknowledged = Vec::new();
    for number in (first..).step_by(8) {
        match submit(&client, number).await {
            Ok(receipt) => acknowledged.push((number, receipt)),
            Err(status) => {
                let gone = matches!(status.code(), Code::Unavailable | Code::Cancelled)
                    || status.details().is_empty()
                        && matches!(status.code(), Code::Unknown | Code::Internal);
                assert!(gone, "{status:?}");
                return acknowledged;
            }
        }
        if acknowledged.len() == 5 {
            going.wait().await;
        }
    }
    unreachable!("numbers do not end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_end_under_load_it_answers_what_it_took_and_loses_nothing() {
    let folder = folder();
    let house = House::with_nation(&binary(), &folder.path().join("data")).await;
    let going = Arc::new(Barrier::new(9));
    let senders: Vec<_> = (0..8)
        .map(|first| tokio::spawn(sender(house.client("collector"), first, Arc::clone(&going))))
        .collect();
    let mut alerts = house.client("national").live_alerts();
    let mut watched = alerts
        .watch_alerts(WatchAlertsRequest::default())
        .await
        .unwrap()
        .into_inner();
    going.wait().await;
    let (data, began) = (house.data.clone(), Instant::now());
    house.terminate().await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "within its grace period"
    );
    let told = loop {
        match watched.message().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    let told = told.unwrap_err();
    assert_eq!(told.code(), Code::Unavailable, "{told:?}");
    assert!(
        !told.details().is_empty(),
        "it says why, and where to go on"
    );
    let mut acknowledged = Vec::new();
    for sender in senders {
        acknowledged.extend(sender.await.unwrap());
    }
    assert!(acknowledged.len() >= 40);
    let house = House::start(&binary(), &data).await;
    all_there(&house, &acknowledged).await;
    house.terminate().await;
}

/// A call that never ends: a request whose body does not come.
async fn stuck(house: &House) -> tokio::net::TcpStream {
    let address = house.url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /v1/returns HTTP/1.1\r\nhost: qipp\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n",
        house.key("collector")
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // It has begun to read the body once it says so.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_never_ends_holds_it_up_for_the_grace_period_only() {
    let folder = folder();
    let brief = binary_with(&[("QIPP_SERVE__GRACE_SECONDS", "1")]);
    let house = House::start(&brief, &folder.path().join("data")).await;
    let _open = stuck(&house).await;
    let began = Instant::now();
    house.terminate().await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_stuck_calls_nor_a_dead_collector_of_traces_make_it_overrun_its_grace_period() {
    const GRACE: Duration = Duration::from_secs(4);
    let folder = folder();
    // It takes connections and never says a word.
    let collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let binary = binary_with(&[
        ("QIPP_SERVE__GRACE_SECONDS", "4"),
        ("QIPP_SERVE__TRACES__ENDPOINT", &endpoint),
    ]);
    let house = House::with_nation(&binary, &folder.path().join("data")).await;
    let mut open = Vec::new();
    for number in 0..5 {
        open.push(stuck(&house).await);
        house.submit(number).await.unwrap();
    }
    let data = house.data.clone();
    let began = Instant::now();
    house.terminate().await;
    let took = began.elapsed();
    // What a busy machine takes to end a process comes on top. Traces that got a second of their own would be later than this.
    assert!(took < GRACE + Duration::from_millis(900), "{took:?}");
    let said = std::fs::read_to_string(data.with_extension("said")).unwrap();
    assert!(!said.contains("before everything was saved"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    let folder = folder();
    let patient = binary_with(&[("QIPP_SERVE__GRACE_SECONDS", "600"), ("RUST_LOG", "info")]);
    let mut house = House::start(&patient, &folder.path().join("data")).await;
    let _open = stuck(&house).await;
    house.served.signal(Signal::TERM).unwrap();
    // It has heard the first one once it says so; two signals that come together may be one.
    let heard = async {
        while !house.said().contains("shutting down") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), heard)
        .await
        .unwrap();
    house.served.signal(Signal::TERM).unwrap();
    let status = house.served.ended().await.unwrap();
    assert_eq!(status.code(), Some(1), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_that_is_told_to_end_while_it_loads_closes_what_it_began() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut command = binary().command(&data);
    command
        .args(["demo", "--stay", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .stdout(Stdio::piped());
    let mut demo = command.spawn().unwrap();
    let mut said = BufReader::new(demo.stdout.take().unwrap()).lines();
    let first = said.next_line().await.unwrap().unwrap();
    assert!(first.starts_with("QIPP Watch demo"), "{first}");
    let pid = Pid::from_raw(demo.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let mut last = first;
    while let Some(line) = said.next_line().await.unwrap() {
        last = line;
    }
    assert_eq!(last, "Ending.");
    assert!(demo.wait().await.unwrap().success());
    let house = House::start(&binary(), &data).await;
    house.terminate().await;
}
