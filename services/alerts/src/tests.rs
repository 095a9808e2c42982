//! Several evaluators over one log: one evaluates, another takes over, and nothing is lost or said twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use qipp_api::error::{ApiError, Code};
use qipp_api::facts::{self, Meta};
use qipp_domain::alert::{AlertEventKind, Transition};
use qipp_domain::marker::{MarkerDefinition, Polarity, QualityDomain, RollUp, TriggerRole};
use qipp_domain::nation::{Facts, Nation, ReturnFact};
use qipp_domain::reference::{Obligation, Organisation, ReferenceFact};
use qipp_domain::returns::{
    Body, Measured, Observation, Precondition, Return, ReturnContent, Status, Value,
};
use qipp_domain::tenure::{EPOCH_KEY, Tenure};
use qipp_domain::{Cut, Dataset, MarkerCode, OrgCode, Period, Quantity, SeriesKey, Slug};
use qipp_eventlog::{
    Appended, Cut as LogCut, EventLog, Layout, LogError, ManualClock, MemoryLog, NewRecord, Record,
    RecordStream, Topic,
};
use qipp_projection::{
    Decoded, Follower, FollowerConfig, StoreConfig, digest_of, domain_cut, fold_to, lane_of,
};
use qipp_serving::{Deps, Metrics};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::evaluator::{Evaluator, EvaluatorStanding, Turn};
use crate::watch::found;
use crate::{Alerts, Config};

/// Nine in the morning of 1 June 2011, Unix milliseconds.
const MORNING: i64 = 1_306_918_800_000;
/// A month whose deadline has passed by then.
const MONTH: &str = "2011-03";
const TRUSTS: u8 = 6;

/// What one process sees of the log: the test decides whether it is chosen, and can hold up what it appends.
#[derive(Debug)]
struct Link {
    log: Arc<MemoryLog>,
    shared: bool,
    chosen: watch::Sender<bool>,
    paused: watch::Sender<bool>,
    /// Appends that are held up.
    held_up: watch::Sender<usize>,
}

#[async_trait]
impl EventLog for Link {
    fn layout(&self) -> Layout {
        self.log.layout()
    }

    async fn append(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Appended>, LogError> {
        let mut paused = self.paused.subscribe();
        if *paused.borrow() {
            self.held_up.send_modify(|count| *count += 1);
            let _ = paused.wait_for(|paused| !paused).await;
            self.held_up.send_modify(|count| *count -= 1);
        }
        self.log.append(topic, partition, records).await
    }

    fn head(&self) -> LogCut {
        self.log.head()
    }

    fn stand(&self) -> watch::Receiver<bool> {
        self.chosen.subscribe()
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    fn tail(&self, topic: Topic, partition: u16, from: u64) -> RecordStream {
        self.log.tail(topic, partition, from)
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.log.read(topic, partition, from, max).await
    }

    async fn close(&self) {
        self.log.close().await;
    }
}

fn decode(key: &[u8], payload: &Bytes) -> Result<Decoded, String> {
    let (meta, facts) = facts::decode(key, payload.clone()).map_err(|error| error.to_string())?;
    Ok(Decoded {
        by: meta.principal,
        epoch: meta.writer_epoch,
        facts,
    })
}

/// A process with its own fold and its own evaluator.
struct Process {
    link: Arc<Link>,
    deps: Deps,
    alerts: Alerts,
    standing: watch::Receiver<EvaluatorStanding>,
    running: JoinHandle<()>,
}

impl Process {
    /// Long enough that a process which is mistaken does not take over again in a test that does not ask for it.
    const PATIENT: Duration = Duration::from_secs(3600);

    async fn start(log: &Arc<MemoryLog>, shared: bool, patience: Duration) -> Self {
        let link = Arc::new(Link {
            log: Arc::clone(log),
            shared,
            chosen: watch::Sender::new(false),
            paused: watch::Sender::new(false),
            held_up: watch::Sender::new(0),
        });
        let shutdown = CancellationToken::new();
        let deps = Deps {
            log: Arc::<Link>::clone(&link),
            follower: Follower::start(
                Arc::<Link>::clone(&link),
                FollowerConfig::new(StoreConfig::Memory, decode),
                CancellationToken::new(),
            )
            .await
            .unwrap(),
            clock: Arc::new(ManualClock::new(MORNING)),
            shutdown,
            metrics: Metrics::new(),
        };
        let config = Config {
            settle: Duration::from_millis(1),
            superseded_patience: patience,
            ..Config::default()
        };
        let (evaluator, evaluated) = Evaluator::new(config, deps.clone());
        let standing = evaluator.standing();
        let alerts = Alerts {
            deps: deps.clone(),
            patience: config.watcher_patience,
            evaluated,
            standing: standing.clone(),
        };
        Self {
            link,
            deps,
            alerts,
            standing,
            running: tokio::spawn(evaluator.run()),
        }
    }

    fn choose(&self, chosen: bool) {
        self.link.chosen.send_replace(chosen);
    }

    fn pause(&self, paused: bool) {
        self.link.paused.send_replace(paused);
    }

    async fn until(&self, turn: Turn) {
        let mut standing = self.standing.clone();
        standing.wait_for(|now| now.turn == turn).await.unwrap();
    }

    /// Waits until everything that there is now has been evaluated here.
    async fn evaluated(&self) {
        self.until(Turn::Evaluating).await;
        self.deps.follower.caught_up().await.unwrap();
        let cut = returns_and_reference(&self.link.log.head());
        self.alerts.evaluation_of(&cut).await.unwrap();
    }

    /// As kill -9.
    async fn die(self) {
        self.running.abort();
        let _ = self.running.await;
    }

    /// What has happened to each alert, in order, as this process's fold shows it once it has seen the whole log.
    async fn histories(&self) -> BTreeMap<String, Vec<Transition>> {
        self.deps.follower.caught_up().await.unwrap();
        histories(&self.deps.follower.view())
    }

    async fn digest(&self) -> String {
        self.deps.follower.caught_up().await.unwrap();
        self.deps.follower.digest()
    }
}

fn histories(nation: &Nation) -> BTreeMap<String, Vec<Transition>> {
    let mut histories = BTreeMap::new();
    for alert in nation.alert_books().flat_map(|(_, book)| book.iter()) {
        let entries = alert.history.iter().map(|event| match &event.kind {
            AlertEventKind::Evaluated(transition, _) => *transition,
            AlertEventKind::Acted(_) => panic!("nobody acts here"),
        });
        histories.insert(alert.id.clone(), entries.collect());
    }
    histories
}

/// What evaluators do not write themselves.
fn returns_and_reference(head: &LogCut) -> Cut {
    let others = |topic: &Topic| matches!(topic, Topic::Returns | Topic::Reference);
    let head = head.iter().filter(|((topic, _), _)| others(topic));
    domain_cut(&head.collect())
}

fn org(number: u8) -> OrgCode {
    OrgCode::new(&format!("RA{number}")).unwrap()
}

fn month() -> Period {
    MONTH.parse().unwrap()
}

async fn append(log: &MemoryLog, topic: Topic, key: &str, facts: Facts) {
    let record = NewRecord {
        key: key.to_owned().into(),
        payload: facts::encode(&facts, Meta::default()),
    };
    let partition = log.layout().partition_of(topic, key.as_bytes());
    log.append(topic, partition, vec![record]).await.unwrap();
}

/// A nation of trusts that owe a return since the month, whose deadline has passed: an alert for each.
async fn late_nation() -> Arc<MemoryLog> {
    let layout = Layout {
        returns: 2,
        alerts: 3,
    };
    let clock = Arc::new(ManualClock::new(MORNING));
    let log = Arc::new(MemoryLog::new(layout, clock).with_gaps(7));
    let deadline = ReferenceFact::Deadline {
        dataset: Dataset::Quality,
        period: month(),
        due: jiff::civil::date(2011, 4, 14),
    };
    let mut facts = vec![deadline, ReferenceFact::Marker(four_hours())];
    for number in 0..TRUSTS {
        facts.push(ReferenceFact::Organisation(Organisation {
            code: org(number),
            name: format!("Trust {number}"),
            kind: Slug::new("trust").unwrap(),
            opened: None,
            closed: None,
        }));
        facts.push(ReferenceFact::Obligation(Obligation {
            org: org(number),
            dataset: Dataset::Quality,
            from: month(),
            until: None,
        }));
    }
    append(&log, Topic::Reference, "nation", Facts::Reference(facts)).await;
    log
}

fn four_hours() -> MarkerDefinition {
    MarkerDefinition {
        marker: MarkerCode::new("AE_4H").unwrap(),
        version: 1,
        name: "A&E within four hours".into(),
        domain: QualityDomain::Access,
        numerator: "attendances within four hours".into(),
        denominator: "attendances".into(),
        unit: "percent".into(),
        polarity: Polarity::HigherIsBetter,
        roll_up: RollUp::Parts,
        role: TriggerRole::Trigger,
        proportion: true,
        valid_from: None,
        valid_until: None,
        successor: String::new(),
        standard: String::new(),
        publication_lag_days: 0,
        notes: String::new(),
    }
}

/// The return that a trust owes: its alert clears.
async fn submit(log: &MemoryLog, number: u8) {
    let quantity = |value| Quantity::from_f64(value).unwrap();
    let observation = Observation {
        key: SeriesKey::whole(MarkerCode::new("AE_4H").unwrap()),
        definition_version: 1,
        value: Value::Measured(Measured {
            numerator: quantity(900.0 + f64::from(number)),
            denominator: Some(quantity(1000.0)),
        }),
        simulated: true,
    };
    let ret = Return {
        org: org(number),
        period: month(),
        content: ReturnContent {
            status: Status::Final,
            source: "test".into(),
            narrative: String::new(),
            body: Body::Quality(vec![observation].into()),
        },
        precondition: Precondition::default(),
    };
    let facts = Facts::Returns(vec![ReturnFact::Return(ret)]);
    append(log, Topic::Returns, org(number).as_str(), facts).await;
}

/// What one evaluator makes of it that nobody disturbs.
async fn undisturbed() -> BTreeMap<String, Vec<Transition>> {
    let log = late_nation().await;
    let alone = Process::start(&log, false, Process::PATIENT).await;
    alone.evaluated().await;
    for number in 0..TRUSTS {
        submit(&log, number).await;
    }
    alone.evaluated().await;
    let histories = alone.histories().await;
    assert_eq!(histories.len(), usize::from(TRUSTS));
    let raised_and_cleared = [Transition::Raised, Transition::Cleared];
    assert!(histories.values().all(|seen| seen == &raised_and_cleared));
    assert!(
        !log.read(Topic::Benchmarks, 0, 0, 9)
            .await
            .unwrap()
            .is_empty()
    );
    histories
}

async fn fresh_digest(log: &MemoryLog) -> String {
    let (nation, parked) = fold_to(log, decode, &domain_cut(&log.head()))
        .await
        .unwrap();
    assert_eq!(parked, []);
    digest_of(&nation)
}

/// How many events of alerts the log holds that a watcher is shown, and how many that he is not.
fn events(log: &MemoryLog, process: &Process) -> (usize, u64) {
    let (mut shown, mut kept_out) = (0, 0);
    let partitions = log.layout().partitions(Topic::Alerts);
    for partition in 0..partitions {
        let page = log.read(Topic::Alerts, partition, 0, usize::MAX);
        let view = process.deps.follower.view();
        for record in page.now_or_never().unwrap().unwrap() {
            let read = decode(&record.key, &record.payload).unwrap();
            let Facts::Alerts(org, _) = read.facts else {
                continue;
            };
            let (lane, offset) = (lane_of(Topic::Alerts, partition), record.position.offset);
            match found(&view, org, lane, offset) {
                Some(_) => shown += 1,
                None => kept_out += 1,
            }
        }
    }
    (shown, kept_out)
}

async fn beginnings(log: &MemoryLog) -> usize {
    let mut count = 0;
    for (topic, partition) in log.layout().all() {
        let records = log.read(topic, partition, 0, usize::MAX).await.unwrap();
        let begun = |record: &&Record| {
            let read = decode(&record.key, &record.payload).unwrap();
            matches!(read.facts, Facts::EpochBegun(_))
        };
        count += records.iter().filter(begun).count();
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_repeats_and_loses_nothing_and_who_was_paused_changes_nothing() {
    let log = late_nation().await;
    let a = Process::start(&log, true, Process::PATIENT).await;
    let b = Process::start(&log, true, Process::PATIENT).await;
    b.until(Turn::StandingBy).await;
    a.choose(true);
    a.evaluated().await;
    assert_eq!(a.standing.borrow().epoch, 1);

    // A is paused with the clearing of alerts in its hands, and does not learn that B is chosen.
    a.pause(true);
    for number in 0..3 {
        submit(&log, number).await;
    }
    let mut held_up = a.link.held_up.subscribe();
    held_up.wait_for(|count| *count > 0).await.unwrap();
    b.choose(true);
    b.evaluated().await;
    assert_eq!(b.standing.borrow().epoch, 2);
    let (before, digest) = (b.histories().await, b.digest().await);

    // It goes on where it was paused: what it appends is not there for anybody.
    a.pause(false);
    a.until(Turn::StandingBy).await;
    assert_eq!(b.histories().await, before);
    assert_eq!(a.histories().await, before);
    for process in [&a, &b] {
        assert_eq!(process.digest().await, digest);
        assert!(process.deps.follower.superseded() > 0);
    }
    assert_eq!(fresh_digest(&log).await, digest);
    let (shown, kept_out) = events(&log, &b);
    assert_eq!(shown, before.values().map(Vec::len).sum::<usize>());
    assert_eq!(kept_out, b.deps.follower.superseded());

    // Both are gone, and a third one takes over.
    a.die().await;
    b.die().await;
    for number in 3..TRUSTS {
        submit(&log, number).await;
    }
    let c = Process::start(&log, true, Process::PATIENT).await;
    c.choose(true);
    c.evaluated().await;
    assert_eq!(c.standing.borrow().epoch, 3);
    assert_eq!(c.histories().await, undisturbed().await);
    assert_eq!(fresh_digest(&log).await, c.digest().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_superseded_and_chosen_all_the_same_takes_over_again() {
    let log = late_nation().await;
    let process = Process::start(&log, true, Duration::from_millis(1)).await;
    process.choose(true);
    process.evaluated().await;
    // A process that was mistaken begins, and does nothing more.
    for (topic, partition) in log.layout().all() {
        if matches!(topic, Topic::Benchmarks | Topic::Alerts) {
            let begun = Facts::EpochBegun(Tenure {
                epoch: 2,
                holder: "somebody".into(),
            });
            let record = NewRecord {
                key: EPOCH_KEY.into(),
                payload: facts::encode(&begun, Meta::default()),
            };
            log.append(topic, partition, vec![record]).await.unwrap();
        }
    }
    let mut standing = process.standing.clone();
    standing.wait_for(|now| now.epoch == 3).await.unwrap();
    submit(&log, 0).await;
    process.evaluated().await;
    let cleared = process.histories().await;
    let cleared = cleared.values().filter(|seen| seen.len() == 2).count();
    assert_eq!(cleared, 1);
}

/// Two processes, of which now the one and now the other is chosen, is paused, and learns late of it.
async fn shuffled(seed: u64) {
    let log = late_nation().await;
    let patience = Duration::from_millis(5);
    let both = [
        Process::start(&log, true, patience).await,
        Process::start(&log, true, patience).await,
    ];
    let mut state = seed;
    let mut draw = |below: u64| {
        // splitmix64: which steps a seed gives does not change with a library.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    };
    both[0].choose(true);
    both[0].evaluated().await;
    let mut next = 0;
    while next < TRUSTS {
        let one = &both[usize::from(draw(2) == 1)];
        match draw(6) {
            0 | 1 => {
                submit(&log, next).await;
                next += 1;
            }
            2 => one.choose(true),
            3 => one.choose(false),
            4 => one.pause(true),
            _ => one.pause(false),
        }
        // Somebody else's turn to run, so that steps fall into different moments of an evaluation.
        for _ in 0..draw(200) {
            tokio::task::yield_now().await;
        }
    }
    both.iter().for_each(|process| process.pause(false));
    let last = &both[usize::from(draw(2) == 1)];
    both.iter().for_each(|process| process.choose(false));
    for process in &both {
        process.until(Turn::StandingBy).await;
    }
    last.choose(true);
    last.evaluated().await;
    let digest = fresh_digest(&log).await;
    for process in &both {
        assert_eq!(process.digest().await, digest, "seed {seed}");
    }
    let histories = last.histories().await;
    assert_eq!(histories.len(), usize::from(TRUSTS), "seed {seed}");
    for (alert, seen) in &histories {
        let expected = [Transition::Raised, Transition::Cleared];
        assert_eq!(*seen, expected, "seed {seed}: {alert}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_chosen_when_each_alert_is_raised_and_cleared_once() {
    for seed in 0..24 {
        shuffled(seed).await;
    }
}

fn refusal(answer: Result<(), ApiError>) -> String {
    answer.unwrap_err().reason.into_owned()
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_evaluation_is_told_where_there_is_none() {
    let log = late_nation().await;
    let process = Process::start(&log, true, Process::PATIENT).await;
    let cut = returns_and_reference(&log.head());
    process.until(Turn::StandingBy).await;
    assert!(process.standing.borrow().failing.is_none());
    let answer = process.alerts.evaluation_of(&cut).await;
    let error = answer.unwrap_err();
    assert_eq!(
        (&*error.reason, error.code),
        ("EVALUATED_ELSEWHERE", Code::Unavailable)
    );
    assert!(error.retry_after.is_some());

    // It is chosen, and what it begins does not arrive: whoever asks waits for a while.
    process.pause(true);
    process.choose(true);
    process.until(Turn::Starting).await;
    let asked = tokio::time::Instant::now();
    let answer = process.alerts.evaluation_of(&cut).await;
    assert_eq!(refusal(answer), "EVALUATED_ELSEWHERE");
    assert_eq!(asked.elapsed().as_secs(), 10);
    process.pause(false);
    process.evaluated().await;

    // Whoever waits when the turn is lost is told so.
    let later = Cut::from_iter([(1 << 16, u64::MAX)]);
    let lost = async {
        process.choose(false);
        process.until(Turn::StandingBy).await;
    };
    let (answer, ()) = tokio::join!(process.alerts.evaluation_of(&later), lost);
    assert_eq!(refusal(answer), "EVALUATED_ELSEWHERE");
    process.die().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_alone_goes_on_with_the_epoch_of_the_log_and_begins_none() {
    let log = late_nation().await;
    let shared = Process::start(&log, true, Process::PATIENT).await;
    shared.choose(true);
    shared.evaluated().await;
    shared.die().await;
    let begun = beginnings(&log).await;
    assert_eq!(begun, 4, "one for each lane of benchmarks and alerts");

    let alone = Process::start(&log, false, Process::PATIENT).await;
    for number in 0..TRUSTS {
        submit(&log, number).await;
    }
    alone.evaluated().await;
    assert_eq!(alone.standing.borrow().epoch, 1);
    assert_eq!(beginnings(&log).await, begun);
    assert_eq!(alone.histories().await, undisturbed().await);
    assert_eq!(alone.deps.follower.superseded(), 0);
}
