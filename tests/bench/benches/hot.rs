//! Guards the hot loops: `cargo bench -p qipp-bench`. Compare with a run of the commit before, on the same quiet machine.
//!
//! Only what runs for every value or on every request is here; whole paths are measured by `tests/bench/run`.
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that can't be set up is no benchmark"
)]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use qipp_api::draft::return_draft;
use qipp_api::facts;
use qipp_bench::fill::record;
use qipp_bench::nation::{Nation as Made, REGION, TREE};
use qipp_domain::nation::{Facts, Nation};
use qipp_domain::rollup::{Parts, Query, Structure, roll_up};
use qipp_domain::validate::{Against, validate_return};
use qipp_domain::{KnownAt, Stamp};
use qipp_eventlog::{EmbeddedConfig, EmbeddedLog, EventLog as _, NewRecord, Topic};
use qipp_spc::{Date, Profile, xmr};
use tokio::runtime::Runtime;

/// 500 organisations, 60 months, 30 markers.
const MADE: Made = Made {
    orgs: 500,
    months: 60,
    markers: 30,
    seed: 2010,
};
/// Records of a page.
const PAGE: u32 = 1024;

fn main() {
    divan::main();
}

fn stamp(offset: u64) -> Stamp {
    Stamp {
        lane: qipp_projection::lane_of(Topic::Returns, 0),
        offset,
        time_ms: 1_300_000_000_000,
    }
}

fn empty_nation() -> Nation {
    let mut nation = Nation::default();
    nation.apply(
        Stamp {
            lane: qipp_projection::lane_of(Topic::Reference, 0),
            ..stamp(0)
        },
        "bench",
        Facts::Reference(MADE.reference()),
    );
    nation
}

/// The whole history, folded once.
static FOLDED: LazyLock<Nation> = LazyLock::new(|| {
    let mut nation = empty_nation();
    for (offset, (org, month, revision)) in MADE.history().enumerate() {
        nation.apply(
            stamp(offset as u64),
            "bench",
            MADE.quality(org, month, revision),
        );
    }
    nation
});

/// A stored return of 30 markers, from bytes to facts.
#[divan::bench]
fn decode_stored_return(bencher: Bencher<'_, '_>) {
    let NewRecord { key, payload } = record(&MADE.quality(7, 7, 1), "7/quality/7/1".to_owned());
    bencher
        .counter(ItemsCount::new(MADE.markers))
        .counter(BytesCount::new(payload.len()))
        .bench(|| facts::decode(black_box(&key), black_box(payload.clone())).unwrap());
}

/// The returns of an organisation's sixty months into an empty nation.
#[divan::bench]
fn apply_to_nation(bencher: Bencher<'_, '_>) {
    let empty = empty_nation();
    let all: Vec<Facts> = MADE
        .all_months()
        .map(|month| MADE.quality(7, month, 1))
        .collect();
    bencher
        .counter(ItemsCount::new(MADE.markers * MADE.months))
        .with_inputs(|| (empty.clone(), all.clone()))
        .bench_values(|(mut nation, all)| {
            for (offset, facts) in all.into_iter().enumerate() {
                nation.apply(stamp(offset as u64), "bench", facts);
            }
            nation
        });
}

/// One marker of 500 organisations over sixty months, by region.
#[divan::bench]
fn roll_up_of_a_marker(bencher: Bencher<'_, '_>) {
    let at = KnownAt::Latest;
    let reference = FOLDED.reference(&at);
    let query = Query {
        tree: reference.tree(TREE.parse().unwrap()).unwrap(),
        level: REGION.parse().unwrap(),
        marker: Some(MADE.marker(3)),
        parts: Parts::Whole,
        from: None,
        to: None,
        structure: Structure::AsItWas,
        sources: false,
    };
    bencher
        .counter(ItemsCount::new(MADE.orgs * MADE.months))
        .bench(|| roll_up(&FOLDED, &reference, &at, black_box(query)).count());
}

/// An XmR chart of sixty points.
#[divan::bench]
fn xmr_chart(bencher: Bencher<'_, '_>) {
    let dates: Vec<Date> = (0..60_u16)
        .map(|month| {
            Date::new(2005 + month / 12, u8::try_from(month % 12 + 1).unwrap(), 1).unwrap()
        })
        .collect();
    let values: Vec<Option<f64>> = (0..60).map(|n| Some(f64::from(n * 37 % 23))).collect();
    let options = xmr::XmrOptions::default();
    bencher.counter(ItemsCount::new(60_u32)).bench(|| {
        xmr::chart(
            Profile::Nhsr022,
            black_box(&dates),
            black_box(&values),
            &options,
        )
    });
}

/// A submitted return of 30 markers, from the message to what is appended, against a history of sixty months.
#[divan::bench]
fn validate_submitted_return(bencher: Bencher<'_, '_>) {
    let sent = MADE.sent_quality(7, MADE.months, 1);
    let nation = &*FOLDED;
    let reference = nation.reference(&KnownAt::Latest);
    let against = Against {
        reference: &reference,
        ledger: nation.ledger(MADE.org(7)),
        today: jiff::civil::Date::constant(2020, 1, 1),
    };
    bencher
        .counter(ItemsCount::new(MADE.markers))
        .bench(|| validate_return(return_draft(black_box(&sent)), &against).unwrap());
}

/// A log that is gone with its folder.
struct Log {
    runtime: Runtime,
    log: Arc<EmbeddedLog>,
    _folder: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), EmbeddedConfig::default()).unwrap();
        Self {
            runtime: Runtime::new().unwrap(),
            log: Arc::new(log),
            _folder: folder,
        }
    }

    fn append(&self, records: Vec<NewRecord>) {
        let appended = self.log.append(Topic::Returns, 0, records);
        self.runtime.block_on(appended).unwrap();
    }
}

fn page() -> Vec<NewRecord> {
    let of = |number: u32| {
        let facts = MADE.quality(number % MADE.orgs, number / MADE.orgs, 1);
        record(&facts, format!("{number}/quality"))
    };
    (0..PAGE).map(of).collect()
}

/// A page of records through the log's frames to the disk and its sync.
#[divan::bench(max_time = 2)]
fn append_a_page(bencher: Bencher<'_, '_>) {
    let log = Log::new();
    let page = page();
    bencher
        .counter(BytesCount::new(
            page.iter().map(NewRecord::size).sum::<usize>(),
        ))
        .with_inputs(|| page.clone())
        .bench_values(|records| log.append(records));
}

/// A page of records out of the log's frames.
#[divan::bench]
fn read_a_page(bencher: Bencher<'_, '_>) {
    let log = Log::new();
    let page = page();
    let bytes: usize = page.iter().map(NewRecord::size).sum();
    log.append(page);
    bencher.counter(BytesCount::new(bytes)).bench(|| {
        let read = log.log.read(Topic::Returns, 0, 0, PAGE as usize);
        let payloads = log.runtime.block_on(read).unwrap().into_iter();
        payloads
            .map(|record| record.payload)
            .collect::<Vec<Bytes>>()
    });
}
