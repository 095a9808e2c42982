//! Judges the surveillance layer on simulated panels with known truth, beside simpler methods on the same panels.
//!
//! `cargo run --release -p qipp-spc --example surveillance -- [SCENARIOS] [SEEDS] [FLAGS]`
//!
//! SCENARIOS: of A, B, C, E, N, NE (N with the effects of E), with commas; default A,B,C,E,N. SEEDS: how many; default 20.
//! FLAGS: `r` onsets at random months, `0` no scatter of autocorrelation, `s` scatter shared by an organisation's series,
//! `m` 5 % of values missing, `l` ten years, `h` seeds that
//! nothing was chosen on, `3` every third month only, `q` without the simpler methods.
//!
//! What 20 seeds showed, with onsets in month 25, t6 noise and scattered autocorrelation. *Matched* is power per
//! organisation-month where an oracle sets the threshold so that 10 % of all alerts of all months are false: of the months
//! since the onset, and of those in which the shift is there in full (from its third month). An alert counts as true from
//! the onset.
//!
//! ```text
//!                        FDR   false/month  any    found within 3, 6, 11 months  matched since onset, full shift
//! A  four states        .051      1.04     .821        .01   .23   .59                .624   .680
//!    domain CUSUM       .195      3.26     .835        .00   .10   .46                .214   .234
//! B  four states        .079      2.07     .890        .03   .63   .97                .829   .904
//!    domain CUSUM       .126      2.93     .860        .00   .25   .78                .557   .608
//! C  four states        .080      1.93     .904        .17   .57   .83                .736   .802
//!    domain CUSUM       .184      3.98     .887        .02   .26   .62                .308   .336
//! E  four states        .093      2.42     .917        .32   .81   .96                .856   .928
//!    domain CUSUM       .134      3.42     .900        .03   .46   .79                .561   .612
//! N  four states        .002      0.00     .002
//!    domain CUSUM       .758      3.72     .758
//! ```
//!
//! With onsets spread over a year (12 seeds, every third month) matched power is lower: .503/.577, .742/.851, .615/.705,
//! .780/.890. Fewer months follow an onset, and onsets in one month no longer help to date each other.
//! The layer's own expected number of false alerts is 26 % high in A and 8 to 17 % low in the others.

#![allow(
    clippy::print_stdout,
    reason = "a report on the terminal is what it is for"
)]

mod compare;
mod score;
mod simulate;

use qipp_spc::surveillance::{Options, assess};
use score::Score;
use simulate::{BASELINE, Onset, Scatter, Scenario, nation, panel};

const FIRST_SEED: u64 = 90_000;
const HELD_OUT_SEED: u64 = 190_000;

/// Scores of the layer, of its confirmed alerts, and of each simpler method.
fn judge(scenario: &Scenario, seed: u64, step: usize, simpler: bool) -> Vec<Score> {
    let nation = nation(scenario, seed);
    let panel = panel(scenario, &nation);
    let prepared = compare::prepare(&nation.values, scenario.organisations, scenario.months);
    let mut scores = vec![Score::default(); 2 + compare::METHODS.len()];
    let mut previous = None;
    for end in (BASELINE + 1..=scenario.months).step_by(step) {
        let now = assess(
            &panel,
            end,
            &Options::default(),
            seed ^ ((end as u64) << 32),
        )
        .expect("the panel is sound");
        let alerts: Vec<usize> = now.alerts.iter().map(|alert| alert.unit).collect();
        let both = |u: usize| now.judgements[u].as_ref().map_or(0.0, |j| j.states[3]);
        scores[0].month(
            &nation,
            end - 1,
            |u| if both(u) > 1e-3 { both(u) } else { 0.0 },
            &alerts,
        );
        scores[0].expected_false += now.expected_false;
        let confirmed = previous
            .as_ref()
            .map_or_else(Vec::new, |previous| now.confirmed(previous));
        scores[1].month(&nation, end - 1, |_| 0.0, &confirmed);
        if simpler {
            let all = compare::scores(&prepared, end);
            for method in 0..compare::METHODS.len() {
                let alerts: Vec<usize> =
                    (0..all.len()).filter(|u| all[*u][method] >= 1.0).collect();
                scores[2 + method].month(&nation, end - 1, |u| all[u][method], &alerts);
            }
        }
        previous = Some(now);
    }
    scores.iter_mut().for_each(|score| score.close(&nation));
    scores
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let names = args.get(1).map_or("A,B,C,E,N", String::as_str);
    let seeds: u64 = args
        .get(2)
        .map_or(20, |text| text.parse().expect("a number of seeds"));
    let flag = |c: char| args.get(3).is_some_and(|flags| flags.contains(c));
    let first = if flag('h') { HELD_OUT_SEED } else { FIRST_SEED };
    let step = if flag('3') { 3 } else { 1 };
    for name in names.split(',') {
        let mut scenario = Scenario::named(name);
        if flag('r') {
            scenario.onset = Onset::Random;
        }
        if flag('0') {
            scenario.scatter = Scatter::None;
        }
        if flag('s') {
            scenario.scatter = Scatter::Shared;
        }
        if flag('l') {
            scenario.months = 120;
        }
        if flag('m') {
            scenario.missing = 0.05;
        }
        let mut total = vec![Score::default(); 2 + compare::METHODS.len()];
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let (simpler, of) = (!flag('q'), &scenario);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|worker| {
                    let mine = (0..seeds).filter(move |seed| seed % threads == worker);
                    scope.spawn(move || {
                        mine.map(|seed| judge(of, first + seed, step, simpler))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            for worker in workers {
                for scores in worker.join().expect("a worker ends") {
                    total
                        .iter_mut()
                        .zip(scores)
                        .for_each(|(sum, score)| sum.add(score));
                }
            }
        });
        println!(
            "Scenario {name}: {seeds} seeds, onset {:?}, scatter {:?}",
            scenario.onset, scenario.scatter
        );
        println!("  {:57} {}", "four states, lfdr 10 %", total[0].line());
        println!(
            "  {:57} expected false/month {:.2}",
            "",
            total[0].expected_false / total[0].months
        );
        println!("  {:57} {}", "  the same, confirmed", total[1].line());
        for (method, name) in compare::METHODS.iter().enumerate().filter(|_| simpler) {
            println!("  {name:57} {}", total[2 + method].line());
        }
    }
}
