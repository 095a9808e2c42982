//! A log, facts in a wire format of this test's own, and followers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qipp_domain::alert::{Act, Acted, AlertFact, Evidence, Finding, Severity, Transition};
use qipp_domain::benchmark::NationalValue;
use qipp_domain::nation::{Facts, ReturnFact};
use qipp_domain::reference::{Organisation, ReferenceFact};
use qipp_domain::returns::{
    Body, Measured, Observation, Precondition, Return, ReturnContent, SavingsLine, Status, Value,
};
use qipp_domain::scheme::{LinkedMarker, Milestone, MilestoneKind, Scheme, SchemeCategory};
use qipp_domain::tenure::{EPOCH_KEY, Tenure};
use qipp_domain::{
    Cut, MarkerCode, Missing, OrgCode, Pence, Period, Quantity, SchemeId, SeriesKey, Slug,
};
use qipp_eventlog::{EventLog, Layout, ManualClock, MemoryLog, NewRecord, Topic};
use qipp_projection::{
    Decoded, Decoder, Follower, FollowerConfig, StoreConfig, digest_of, domain_cut, fold_to,
    lane_of,
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// A fact as this test writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Fact {
    Organisation(OrgCode, String),
    Quality {
        org: OrgCode,
        month: i8,
        numerator: u32,
        expected_revision: Option<u32>,
    },
    National(MarkerCode, i8, u32),
    Raised(OrgCode, i8),
    Acted(OrgCode, i8, bool, u32),
    Scheme(OrgCode),
    Savings(OrgCode, i8),
    /// Of another organisation than its key.
    Misaddressed(OrgCode),
    /// Cannot be read before version 2.
    Newer(Box<Fact>),
    /// A single writer begins.
    Begun(u64, String),
    /// By a writer of that epoch.
    Of(u64, Box<Fact>),
}

pub(crate) fn org(number: u8) -> OrgCode {
    OrgCode::new(&format!("R{number:02}")).unwrap()
}

fn period(month: i8) -> Period {
    Period::new(2011, month).unwrap()
}

fn measured(numerator: u32) -> Measured {
    Measured {
        numerator: Quantity::from_f64(f64::from(numerator)).unwrap(),
        denominator: Some(Quantity::from_f64(1000.0).unwrap()),
    }
}

fn alert_id(org: OrgCode, month: i8) -> String {
    format!("R01-{org}-{}", period(month))
}

impl Fact {
    pub(crate) fn quality(number: u8, month: i8, numerator: u32) -> Self {
        Self::Quality {
            org: org(number),
            month,
            numerator,
            expected_revision: None,
        }
    }

    /// Where it goes, and under which key.
    pub(crate) fn place(&self) -> (Topic, String) {
        match self {
            Self::Organisation(org, _) => (Topic::Reference, org.to_string()),
            Self::Quality { org, .. }
            | Self::Scheme(org)
            | Self::Savings(org, _)
            | Self::Misaddressed(org) => (Topic::Returns, org.to_string()),
            Self::National(marker, ..) => (Topic::Benchmarks, marker.to_string()),
            Self::Raised(org, _) | Self::Acted(org, ..) => (Topic::Alerts, org.to_string()),
            // In a test that asks for other lanes it says so.
            Self::Begun(..) => (Topic::Benchmarks, EPOCH_KEY.to_owned()),
            Self::Newer(fact) | Self::Of(_, fact) => fact.place(),
        }
    }

    pub(crate) fn facts(self) -> Facts {
        match self {
            Self::Organisation(code, name) => Facts::Reference(vec![organisation(code, name)]),
            Self::Quality {
                org,
                month,
                numerator,
                expected_revision,
            } => Facts::Returns(vec![quality(org, month, numerator, expected_revision)]),
            Self::Scheme(org) => Facts::Returns(vec![scheme(org)]),
            Self::Savings(org, month) => Facts::Returns(vec![savings(org, month)]),
            Self::National(marker, month, numerator) => {
                Facts::Benchmarks(vec![national(marker, month, numerator)])
            }
            Self::Raised(org, month) => Facts::Alerts(org, vec![raised(org, month)]),
            Self::Acted(org, month, acknowledges, number) => {
                Facts::Alerts(org, vec![acted(org, month, acknowledges, number)])
            }
            Self::Misaddressed(_) => Facts::Returns(vec![quality(org(99), 1, 1, None)]),
            Self::Begun(epoch, holder) => Facts::EpochBegun(Tenure { epoch, holder }),
            Self::Newer(fact) | Self::Of(_, fact) => fact.facts(),
        }
    }

    fn decoded(self) -> Decoded {
        let epoch = match &self {
            Self::Begun(epoch, _) | Self::Of(epoch, _) => *epoch,
            _ => 0,
        };
        Decoded {
            by: "tester".into(),
            epoch,
            facts: self.facts(),
        }
    }
}

fn organisation(code: OrgCode, name: String) -> ReferenceFact {
    ReferenceFact::Organisation(Organisation {
        code,
        name,
        kind: Slug::new("trust").unwrap(),
        opened: None,
        closed: None,
    })
}

fn quality(org: OrgCode, month: i8, numerator: u32, expected_revision: Option<u32>) -> ReturnFact {
    let observation = Observation {
        key: SeriesKey::whole(MarkerCode::new("AE_4H").unwrap()),
        definition_version: 1,
        value: Value::Measured(measured(numerator)),
        simulated: true,
    };
    ReturnFact::Return(Return {
        org,
        period: period(month),
        content: ReturnContent {
            status: Status::Provisional,
            source: "test".into(),
            narrative: String::new(),
            body: Body::Quality(vec![observation].into()),
        },
        precondition: Precondition {
            idempotency_key: format!("key-{}", numerator % 3),
            expected_revision,
        },
    })
}

fn scheme_id() -> SchemeId {
    SchemeId::new("PAY-1").unwrap()
}

fn scheme(org: OrgCode) -> ReturnFact {
    let scheme = Scheme {
        org,
        id: scheme_id(),
        title: "Fewer beds".into(),
        category: SchemeCategory::WorkforceReduction,
        start: period(1),
        planned: vec![Pence(100_000); 3],
        full_year_effect: Pence(1_200_000),
        recurrent: true,
        pay: true,
        linked_markers: vec![LinkedMarker {
            marker: MarkerCode::new("AE_4H").unwrap(),
            balancing: true,
        }],
        clinical_lead: "somebody".into(),
        qia_medical_director: Some(jiff::civil::date(2011, 1, 5)),
        qia_nursing_director: None,
        milestones: vec![Milestone {
            title: "Ward closed".into(),
            kind: MilestoneKind::Operational,
            due: jiff::civil::date(2011, 3, 31),
            done: None,
        }],
        ended: None,
        simulated: true,
    };
    ReturnFact::Scheme {
        scheme,
        precondition: Precondition::default(),
    }
}

fn savings(org: OrgCode, month: i8) -> ReturnFact {
    let line = SavingsLine {
        scheme: scheme_id(),
        plan: Some(Pence(100_000)),
        actual: Some(Pence(90_000)),
        actual_ytd: None,
        forecast: Some(Pence(1_100_000)),
        recurrent: Some(Pence(90_000)),
        missing: Some(Missing::NotCollected),
        simulated: true,
    };
    ReturnFact::Return(Return {
        org,
        period: period(month),
        content: ReturnContent {
            status: Status::Final,
            source: "test".into(),
            narrative: "on track".into(),
            body: Body::Savings(vec![line]),
        },
        precondition: Precondition::default(),
    })
}

fn national(marker: MarkerCode, month: i8, numerator: u32) -> NationalValue {
    NationalValue {
        marker,
        peer_group: Slug::new("trust").unwrap(),
        period: period(month),
        measured: measured(numerator),
        organisations: 3,
        organisations_slipping: 1,
        cut: Cut::default(),
        simulated: true,
    }
}

fn raised(org: OrgCode, month: i8) -> AlertFact {
    AlertFact::Evaluated {
        alert_id: alert_id(org, month),
        transition: Transition::Raised,
        finding: Finding {
            rule: "R01".into(),
            org,
            period: period(month),
            severity: Severity::Amber,
            summary: "seen".into(),
            question: "why?".into(),
            asked: vec!["medical_director".into()],
            suppressed_because: String::new(),
            evidence: Evidence {
                cut: Cut::default(),
                rule_set_version: "1".into(),
                as_of: jiff::civil::date(2011, 12, 1),
                savings: None,
                markers: Vec::new(),
                joint: None,
                late_returns: Vec::new(),
                simulated: true,
                notes: Vec::new(),
            },
        },
    }
}

fn acted(org: OrgCode, month: i8, acknowledges: bool, number: u32) -> AlertFact {
    AlertFact::Acted(Acted {
        alert_id: alert_id(org, month),
        act_id: format!("act-{number}"),
        act: if acknowledges {
            Act::Acknowledge
        } else {
            Act::Ask
        },
        who: "somebody".into(),
        why: "because".into(),
    })
}

/// Version 1 of the software: does not know newer facts.
pub(crate) fn version_1(_key: &[u8], payload: &Bytes) -> Result<Decoded, String> {
    match postcard::from_bytes(payload) {
        Ok(Fact::Newer(_)) => Err("a fact of an unknown version".into()),
        Ok(fact) => Ok(fact.decoded()),
        Err(error) => Err(error.to_string()),
    }
}

/// Version 2 does.
pub(crate) fn version_2(_key: &[u8], payload: &Bytes) -> Result<Decoded, String> {
    let fact: Fact = postcard::from_bytes(payload).map_err(|error| error.to_string())?;
    Ok(fact.decoded())
}

pub(crate) fn empty_log() -> Arc<MemoryLog> {
    log_with_gaps(7)
}

pub(crate) fn log_with_gaps(seed: u64) -> Arc<MemoryLog> {
    let layout = Layout {
        returns: 3,
        alerts: 2,
    };
    let clock = ManualClock::new(1_000);
    Arc::new(MemoryLog::new(layout, Arc::new(clock)).with_gaps(seed))
}

/// Appends a fact and returns the cut that just includes it.
pub(crate) async fn append(log: &MemoryLog, fact: &Fact) -> Cut {
    let (topic, key) = fact.place();
    append_raw(log, topic, &key, postcard::to_stdvec(fact).unwrap()).await
}

pub(crate) async fn append_raw(log: &MemoryLog, topic: Topic, key: &str, payload: Vec<u8>) -> Cut {
    let partition = log.layout().partition_of(topic, key.as_bytes());
    append_to(log, topic, partition, key, payload).await
}

pub(crate) async fn append_to(
    log: &MemoryLog,
    topic: Topic,
    partition: u16,
    key: &str,
    payload: Vec<u8>,
) -> Cut {
    let record = NewRecord {
        key: key.to_owned().into(),
        payload: payload.into(),
    };
    let receipts = log.append(topic, partition, vec![record]).await.unwrap();
    let mut cut = Cut::default();
    cut.advance_past(lane_of(topic, partition), receipts[0].position.offset);
    cut
}

pub(crate) async fn append_all(log: &MemoryLog, facts: &[Fact]) {
    for fact in facts {
        append(log, fact).await;
    }
}

/// A bit of everything, with repeats, conflicts and acts that are not legal.
pub(crate) fn some_of_everything() -> Vec<Fact> {
    let mut facts = Vec::new();
    for number in 0..6 {
        facts.push(Fact::Organisation(org(number), format!("Trust {number}")));
        facts.extend((1..=4).map(|month| Fact::quality(number, month, 900 + u32::from(number))));
        facts.push(Fact::quality(number, 2, 700));
        facts.push(Fact::Raised(org(number), 4));
        facts.push(Fact::Acted(org(number), 4, number % 2 == 0, 1));
        facts.push(Fact::Acted(org(number), 4, true, 2));
    }
    facts.extend([Fact::Scheme(org(3)), Fact::Savings(org(3), 1)]);
    let marker = MarkerCode::new("AE_4H").unwrap();
    facts.extend((1..=4).map(|month| Fact::National(marker, month, 950)));
    facts
}

/// Saves only when told to stop: neither a number of records nor silence is ever enough.
pub(crate) fn seldom(store: &Path, decode: Decoder) -> FollowerConfig {
    FollowerConfig {
        checkpoint_every_records: u64::MAX,
        checkpoint_when_idle_for: Duration::from_secs(3600),
        ..FollowerConfig::new(StoreConfig::Directory(store.to_owned()), decode)
    }
}

/// Saves as often as it can.
pub(crate) fn often(store: &Path, decode: Decoder) -> FollowerConfig {
    FollowerConfig {
        checkpoint_every_records: 3,
        checkpoint_when_idle_for: Duration::ZERO,
        ..seldom(store, decode)
    }
}

pub(crate) fn in_memory() -> FollowerConfig {
    FollowerConfig::new(StoreConfig::Memory, version_1)
}

/// A follower, and what tells it to stop.
pub(crate) async fn follow(
    log: &Arc<MemoryLog>,
    config: FollowerConfig,
) -> (Follower, CancellationToken) {
    let shutdown = CancellationToken::new();
    let log: Arc<dyn EventLog> = Arc::<MemoryLog>::clone(log);
    let follower = Follower::start(log, config, shutdown.clone()).await;
    (follower.unwrap(), shutdown)
}

/// Ends it in order, with a last checkpoint.
pub(crate) async fn stop((follower, shutdown): (Follower, CancellationToken)) {
    shutdown.cancel();
    follower.stopped().await;
}

/// Ends it as a crash would, and returns when its store is released.
pub(crate) async fn crash((follower, _): (Follower, CancellationToken)) {
    let mut progress = follower.progress();
    drop(follower);
    while progress.changed().await.is_ok() {}
}

/// The digest of a fresh fold of the whole log.
pub(crate) async fn truth(log: &MemoryLog, decode: Decoder) -> String {
    let (nation, _) = fold_to(log, decode, &domain_cut(&log.head()))
        .await
        .unwrap();
    digest_of(&nation)
}
