//! Does the cluster do what the tests that stand on it believe? Each test has brokers of its own.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a failed expectation is a failed test"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use qipp_kafka_cluster::{Cluster, Code, EXISTING, shared};

/// `ApiVersions`, version 0: what every client asks first.
const ASK: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 42, 255, 255];

/// Asks each broker of a list, on a connection of its own; whether all have answered within the time.
fn answer(brokers: &str, within: Duration) -> bool {
    brokers
        .split(',')
        .all(|broker| TcpStream::connect(broker).is_ok_and(|mut stream| ask(&mut stream, within)))
}

fn ask(stream: &mut TcpStream, within: Duration) -> bool {
    let mut head = [0; 8];
    let read = stream
        .set_read_timeout(Some(within))
        .and_then(|()| stream.write_all(&ASK))
        .and_then(|()| stream.read_exact(&mut head));
    read.is_ok() && head[4..] == [0, 0, 0, 42]
}

const SOON: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(300);

fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_broker_that_is_killed_or_stopped_comes_back_on_its_port_and_nothing_is_left_at_the_end() {
    let began = Instant::now();
    let cluster = Cluster::start(1).unwrap();
    println!("one broker in service after {:?}", began.elapsed());
    let brokers = cluster.brokers();
    assert!(answer(&brokers, SOON));
    assert_eq!(cluster.controller().unwrap(), 0);

    cluster.kill(0).unwrap();
    assert!(!answer(&brokers, SILENCE));
    assert_eq!(cluster.kill(0).unwrap_err().code, Code::WrongState);
    cluster.start_node(0).unwrap();
    assert!(answer(&brokers, SOON));
    assert_eq!(cluster.start_node(0).unwrap_err().code, Code::WrongState);

    assert!(cluster.stop(0).unwrap(), "it leaves in order");
    assert!(!answer(&brokers, SILENCE));
    let squatter = TcpListener::bind(&brokers).unwrap();
    let error = cluster.start_node(0).unwrap_err();
    assert_eq!(error.code, Code::PortTaken, "{error}");
    assert_eq!(cluster.ready().unwrap_err().code, Code::PortTaken);
    drop(squatter);
    cluster.kill(0).unwrap();
    let began = Instant::now();
    cluster.start_node(0).unwrap();
    println!("in service again after {:?}", began.elapsed());
    assert_eq!(cluster.brokers(), brokers);

    let pid = cluster.pid(0).unwrap();
    let folder = cluster.folder().to_owned();
    assert!(lives(pid) && folder.is_dir());
    drop(cluster);
    assert!(!lives(pid) && !folder.exists());
}

#[test]
fn three_brokers_go_on_without_their_controller_and_one_that_is_paused_comes_back() {
    let began = Instant::now();
    let cluster = Cluster::start(3).unwrap();
    println!("three brokers in service after {:?}", began.elapsed());
    let first = cluster.controller().unwrap();
    cluster.kill(first).unwrap();
    let began = Instant::now();
    let second = cluster.controller().unwrap();
    println!("another controller after {:?}", began.elapsed());
    assert_ne!(first, second);
    cluster.ready().unwrap();
    let began = Instant::now();
    cluster.start_node(first).unwrap();
    println!("in service again after {:?}", began.elapsed());

    cluster.pause(second).unwrap();
    let silent = cluster.brokers().split(',').nth(second).unwrap().to_owned();
    assert!(!answer(&silent, SILENCE), "a paused broker says nothing");
    let third = cluster.controller().unwrap();
    assert_ne!(second, third);
    cluster.resume(second).unwrap();
    cluster.ready().unwrap();
    assert!(answer(&cluster.brokers(), SOON));

    // The last two have nobody to hand over to; that must not take for ever either.
    let began = Instant::now();
    let in_order: Vec<bool> = (0..3).map(|node| cluster.stop(node).unwrap()).collect();
    println!("all stopped after {:?}: {in_order:?}", began.elapsed());
    assert!(in_order[0]);
    let began = Instant::now();
    for node in 0..3 {
        cluster.start_node(node).unwrap();
    }
    println!("all in service again after {:?}", began.elapsed());
    assert!(
        answer(&cluster.brokers(), SOON),
        "all were down, and all are back"
    );
}

#[test]
fn a_view_that_is_cut_or_silent_leaves_all_others_alone() {
    let cluster = Cluster::start(1).unwrap();
    let (one, other) = (cluster.view(0), cluster.view(1));
    let mut line = TcpStream::connect(one.brokers()).unwrap();
    assert!(ask(&mut line, SOON));

    one.cut();
    assert!(!ask(&mut line, SOON), "what was connected is cut");
    assert!(!answer(&one.brokers(), SOON), "what comes new is closed");
    assert!(answer(&other.brokers(), SOON) && answer(&cluster.brokers(), SOON));
    one.mend();
    assert!(answer(&one.brokers(), SOON));

    let mut line = TcpStream::connect(one.brokers()).unwrap();
    assert!(ask(&mut line, SOON));
    one.silence();
    assert!(!ask(&mut line, SILENCE) && !answer(&one.brokers(), SILENCE));
    assert!(answer(&other.brokers(), SOON));
    one.mend();
    let mut head = [0; 4];
    line.set_read_timeout(Some(SOON)).unwrap();
    line.read_exact(&mut head).unwrap();
}

#[test]
fn brokers_and_data_are_gone_when_the_process_that_started_them_is_killed() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_qipp-kafka"))
        .arg("1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut brokers = None;
    let mut folder = None;
    for line in BufReader::new(program.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(list) = line.strip_prefix("brokers: ") {
            brokers = Some(list.to_owned());
        }
        if let Some(logs) = line.strip_prefix("logs: ") {
            folder = Some(PathBuf::from(
                logs.strip_suffix("/node*/broker.log").unwrap(),
            ));
            break;
        }
    }
    let (brokers, folder) = (brokers.unwrap(), folder.unwrap());
    assert!(answer(&brokers, SOON) && folder.is_dir());
    program.kill().unwrap();
    program.wait().unwrap();
    let until = Instant::now() + SOON;
    while folder.exists() || TcpStream::connect(&brokers).is_ok() {
        assert!(Instant::now() < until, "{} is left", folder.display());
        std::thread::yield_now();
    }
}

#[test]
fn all_tests_of_a_process_share_one_broker() {
    let brokers = shared().unwrap().brokers();
    assert_eq!(brokers, shared().unwrap().brokers());
    assert!(answer(brokers, SOON));
}

#[test]
fn nobody_kills_a_cluster_that_was_there_before() {
    let program = Command::new(env!("CARGO_BIN_EXE_qipp-kafka"))
        .arg("1")
        .env(EXISTING, "127.0.0.1:9092")
        .output()
        .unwrap();
    let said = String::from_utf8(program.stderr).unwrap();
    assert!(
        !program.status.success() && said.contains("KAFKA_NOT_OURS"),
        "{said}"
    );
    assert!(said.contains("unset QIPP_TEST_KAFKA_BROKERS"), "{said}");
}

/// `qipp-kafka fetch` in a target folder where nothing was fetched yet, on a path with Java and nothing else but this `mvn`.
fn fetch_freshly(name: &str, mvn: Option<&str>) -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&target);
    let path = target.join("path");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(target.join("CACHEDIR.TAG"), "").unwrap();
    let program = target.join("qipp-kafka");
    std::fs::copy(env!("CARGO_BIN_EXE_qipp-kafka"), &program).unwrap();
    let all = std::env::var_os("PATH").unwrap();
    let mut java = std::env::split_paths(&all).map(|folder| folder.join("java"));
    let java = java
        .find(|java| java.is_file())
        .expect("java is on the path");
    std::os::unix::fs::symlink(java, path.join("java")).unwrap();
    if let Some(script) = mvn {
        let mvn = path.join("mvn");
        std::fs::write(&mvn, script).unwrap();
        std::fs::set_permissions(&mvn, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let done = Command::new(&program)
        .arg("fetch")
        .env("PATH", &path)
        .output()
        .unwrap();
    assert!(!done.status.success());
    assert!(
        !target.join("kafka/4.1.1/libs").exists(),
        "half a Kafka is none"
    );
    std::fs::remove_dir_all(&target).unwrap();
    String::from_utf8(done.stderr).unwrap()
}

#[test]
fn without_maven_the_package_is_named_and_what_maven_says_is_told() {
    let said = fetch_freshly("no-maven", None);
    assert!(said.contains("KAFKA_TOOL_MISSING"), "{said}");
    assert!(said.contains("apt-get install maven"), "{said}");
    let said = fetch_freshly("bad-maven", Some("#!/bin/sh\necho no way there\nexit 1\n"));
    assert!(said.contains("KAFKA_FETCH_FAILED"), "{said}");
    assert!(said.contains("no way there"), "{said}");
}

#[test]
fn without_java_the_package_is_named() {
    let program = Command::new(env!("CARGO_BIN_EXE_qipp-kafka"))
        .arg("fetch")
        .env_remove("JAVA_HOME")
        .env("PATH", "/nonexistent")
        .output()
        .unwrap();
    let said = String::from_utf8(program.stderr).unwrap();
    assert!(
        !program.status.success() && said.contains("KAFKA_TOOL_MISSING"),
        "{said}"
    );
    assert!(said.contains("openjdk-17-jre-headless"), "{said}");
}
