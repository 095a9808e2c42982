//! Three years of a small nation in which one trust's savings do harm, without a single random number.
//!
//! Twelve trusts return three markers of three domains and the savings of one scheme, every month from 2009-04 to 2012-03. Figures move by a
//! few per cent around their level, evenly, so that nothing ever looks unusual by chance. In the last three months two markers of
//! [`HARMED`] get much worse, in the year in which its savings jump by half. Everybody else's savings stand still.

use qipp_api::proto::events::v1::{Cut, Dataset, Observation, ReferenceFact, Return, Scheme};
use qipp_domain::Period;
use qipp_domain::calendar::working_day_after;

use crate::Sandbox;
use crate::facts::{due, nation_of, owes};
use crate::returns::{measured, quality, savings, scheme};

/// The trust whose savings do harm. It is [`crate::TRUST`].
pub const HARMED: &str = "RA1";
/// Its scheme, and everybody's.
pub const SCHEME: &str = "QIPP-1";
/// First month.
pub const FIRST: &str = "2009-04";
/// Last month.
pub const LAST: &str = "2012-03";
/// The day on which the returns of the last month come in: its ninth working day.
pub const LAST_DAY: &str = "2012-04-16";

const NORTH: [&str; 6] = ["RA1", "RA2", "RA3", "RA4", "RA5", "RA6"];
const SOUTH: [&str; 6] = ["RB1", "RB2", "RB3", "RB4", "RB5", "RB6"];

/// Marker, usual numerator, denominator: tests waited for too long (access), infections (safety), days of sickness (workforce).
const MARKERS: [(&str, f64, f64); 3] = [
    ("DM01_6W", 800.0, 40_000.0),
    ("CDI", 600.0, 1_850_000.0),
    ("SICKNESS", 4_500.0, 100_000.0),
];

/// How much worse the harmed markers get.
const HARM: f64 = 1.6;
/// Months of harm.
pub(crate) const HARMED_MONTHS: usize = 3;

/// Months from the first to the last.
pub fn months() -> Vec<Period> {
    let first: Period = FIRST.parse().unwrap();
    first.to(LAST.parse().unwrap()).collect()
}

/// All trusts.
pub fn trusts() -> impl Iterator<Item = &'static str> {
    NORTH.into_iter().chain(SOUTH)
}

/// Organisations, markers, deadlines on the tenth working day, and who owes what.
#[must_use]
pub fn reference() -> Vec<ReferenceFact> {
    let mut facts = nation_of(&[("N01", &NORTH), ("S01", &SOUTH)]);
    for dataset in [Dataset::Quality, Dataset::Savings] {
        facts.extend(trusts().map(|trust| owes(trust, dataset, FIRST)));
        let deadline = |month: &Period| {
            due(
                dataset,
                &month.to_string(),
                &working_day_after(*month, 10).to_string(),
            )
        };
        facts.extend(months().iter().map(deadline));
    }
    facts
}

/// The schemes, one a trust.
#[must_use]
pub fn schemes() -> Vec<Scheme> {
    trusts()
        .map(|trust| scheme(trust, SCHEME, FIRST, 100_000_000))
        .collect()
}

/// The returns of a month.
#[must_use]
pub fn returns(month: Period) -> Vec<Return> {
    let index = months().iter().position(|held| *held == month).unwrap();
    let period = month.to_string();
    let of = |(number, trust): (usize, &'static str)| {
        let harmed = trust == HARMED && index + HARMED_MONTHS >= months().len();
        let figures = quality(trust, &period, figures(number, index, harmed));
        let delivered = if trust == HARMED && index >= 24 {
            150_000_000
        } else {
            100_000_000
        };
        [
            figures,
            savings(trust, &period, SCHEME, 100_000_000, delivered),
        ]
    };
    trusts().enumerate().flat_map(of).collect()
}

/// The figures of [`HARMED`] in a month as they would have been without harm: what a restatement would say.
#[must_use]
pub fn unharmed(month: Period) -> Return {
    let index = months().iter().position(|held| *held == month).unwrap();
    quality(HARMED, &month.to_string(), figures(0, index, false))
}

fn figures(trust: usize, month: usize, harmed: bool) -> Vec<Observation> {
    let figure = |(number, (marker, usual, of)): (usize, (&str, f64, f64))| {
        let worse = if harmed && number < 2 { HARM } else { 1.0 };
        let numerator = usual * worse * (1.0 + 0.06 * wobble(trust, number, month));
        measured(marker, numerator.round(), of)
    };
    MARKERS.into_iter().enumerate().map(figure).collect()
}

/// Between -1 and 1, evenly spread and without a pattern that a baseline could mistake for a constant.
fn wobble(trust: usize, marker: usize, month: usize) -> f64 {
    let mixed = (trust * 7919 + marker * 104_729 + month * 1_299_709 + 12_345) as u64;
    let mixed = (mixed ^ (mixed >> 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from(u32::try_from(mixed >> 40).unwrap()) / f64::from(1_u32 << 23) - 1.0
}

/// Puts the nation into a house month by month, each on the ninth working day after it, and waits each time until the rules have been
/// evaluated. Gives the cut of the last month.
pub async fn load(sandbox: &Sandbox) -> Cut {
    sandbox.set_day("2009-04-01");
    sandbox.record(reference()).await;
    for scheme in schemes() {
        sandbox.register(scheme).await;
    }
    let mut cut = Cut::default();
    for month in months() {
        sandbox.set_day(&working_day_after(month, 9).to_string());
        cut = sandbox.submit_all(&returns(month)).await.cut;
        sandbox.evaluated(&cut).await;
    }
    assert_eq!(
        working_day_after(LAST.parse().unwrap(), 9).to_string(),
        LAST_DAY
    );
    cut
}
