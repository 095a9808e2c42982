//! Starts real Kafka brokers on loopback, for a person or a script.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use qipp_kafka_cluster::{Cluster, Distribution, Error, VERSION};

const HELP: &str = "\
Real Apache Kafka on loopback, for tests and for trying things out.

Usage: qipp-kafka 1|3     start so many brokers and run until Ctrl-C, or until standard input ends
       qipp-kafka fetch   only see to it that Kafka is there (Maven fetches it once, 54 MB)
       qipp-kafka --help

It needs Java 17 or later, and Maven for the first time. Three brokers keep three copies of everything, of which two have to be in
sync; one keeps one. Topics are not created by themselves. Ports are chosen anew at every start. When it ends, the brokers and all
their data are gone, however it ends.

    cargo run -p qipp-kafka-cluster --bin qipp-kafka -- 1
    brokers: 127.0.0.1:17321
    url: kafka://127.0.0.1:17321
    …
    kcat -b 127.0.0.1:17321 -L       in another terminal
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["1"] => run(1),
        ["3"] => run(3),
        ["fetch"] => fetch(),
        ["--help" | "-h" | "help"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprintln!("error: how many brokers, 1 or 3?\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fetch() -> Result<(), Error> {
    let kafka = Distribution::find()?;
    println!("Kafka {VERSION}: {}", kafka.libs().display());
    Ok(())
}

fn run(brokers: usize) -> Result<(), Error> {
    eprintln!("starting Kafka {VERSION}, {brokers} broker(s) …");
    let cluster = Cluster::start(brokers)?;
    println!("brokers: {}", cluster.brokers());
    println!("url: kafka://{}", cluster.brokers());
    println!("logs: {}/node*/broker.log", cluster.folder().display());
    // Whoever reads this by a pipe waits for it.
    let _ = std::io::stdout().flush();
    eprintln!("running until Ctrl-C or the end of standard input");
    let mut ignored = [0; 1024];
    while std::io::stdin()
        .read(&mut ignored)
        .is_ok_and(|read| read > 0)
    {}
    Ok(())
}
