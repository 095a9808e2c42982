//! The hot loop of a national board: `cargo bench -p qipp-spc`. 10,000 charts of sixty months are to take less than 50 ms on one core, and
//! to allocate nothing.
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that can't be set up is no benchmark"
)]

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use qipp_spc::xmr::{self, ChartBuffer, XmrOptions};
use qipp_spc::{Date, Profile};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const CHARTS: u64 = 10_000;
const MONTHS: u16 = 60;

fn main() {
    divan::main();
}

fn dates() -> Vec<Date> {
    let month = |n: u16| Date::new(2005 + n / 12, u8::try_from(n % 12 + 1).unwrap(), 1).unwrap();
    (0..MONTHS).map(month).collect()
}

/// Noise of a fixed seed: what a branch predictor can't learn by heart.
fn charts() -> Vec<Vec<Option<f64>>> {
    let mut state = 2010_u64;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    (0..CHARTS)
        .map(|_| {
            (0..MONTHS)
                .map(|_| Some(noise() + noise() + noise()))
                .collect()
        })
        .collect()
}

#[divan::bench(args = Profile::ALL)]
fn ten_thousand_charts_in_one_buffer(bencher: Bencher<'_, '_>, profile: &Profile) {
    let (dates, charts, options) = (dates(), charts(), XmrOptions::default());
    let mut buffer = ChartBuffer::default();
    bencher.counter(ItemsCount::new(CHARTS)).bench_local(|| {
        let mut special = 0;
        for values in &charts {
            let chart = buffer
                .draw(*profile, black_box(&dates), values, &options)
                .unwrap();
            special += usize::from(chart.points.last().unwrap().special_cause.is_special());
        }
        special
    });
}

#[divan::bench(args = Profile::ALL)]
fn ten_thousand_charts_of_their_own(bencher: Bencher<'_, '_>, profile: &Profile) {
    let (dates, charts, options) = (dates(), charts(), XmrOptions::default());
    bencher.counter(ItemsCount::new(CHARTS)).bench_local(|| {
        let draw = |values: &Vec<Option<f64>>| {
            xmr::chart(*profile, black_box(&dates), values, &options)
                .unwrap()
                .points
                .len()
        };
        charts.iter().map(draw).sum::<usize>()
    });
}
