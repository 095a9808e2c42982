//! Does each fault do to the data what it says, and nothing else?
#![allow(clippy::unwrap_used, reason = "a test that fails to unwrap has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use qipp_domain::Dataset;
use qipp_nation::scenario::{
    Fault, FaultRates, ObservationRow, Scenario, ScenarioConfig, ScoringNation, files, scenario,
};

/// Organisation, marker, month.
type Key = (usize, usize, usize);

fn key(row: &ObservationRow) -> Key {
    (row.org, row.marker, row.month)
}

/// Numerator and denominator as they stand at the end.
fn last(nation: &ScoringNation) -> BTreeMap<Key, (i64, i64)> {
    let rows = nation.observations.iter();
    rows.map(|row| (key(row), (row.numerator, row.denominator)))
        .collect()
}

fn with(faults: FaultRates) -> ScoringNation {
    scenario(&ScenarioConfig {
        organisations: 200,
        faults,
        ..ScenarioConfig::new(Scenario::Real, 44)
    })
}

/// The rates of a real nation, and more of what is rare.
fn many() -> ScoringNation {
    with(FaultRates {
        missing_figures: 0.02,
        missing_returns: 0.02,
        late_starts: 0.1,
        mergers: 0.2,
        redefinitions: 0.1,
        tiny: 0.1,
        shocks: 0.1,
        late: 0.1,
        restated: 0.1,
        duplicated: 0.02,
    })
}

/// What the faults of a nation say of its figures.
#[derive(Default)]
struct Touched {
    /// Organisations of which no figure need be as it would have been.
    organisations: BTreeSet<usize>,
    /// Markers that are different for all, and from which month on.
    markers: BTreeMap<usize, usize>,
    /// Organisations and months in which another month's figures stand.
    copied: BTreeSet<(usize, usize)>,
    /// Figures that are not there.
    absent: BTreeSet<Key>,
}

impl Touched {
    fn of(nation: &ScoringNation) -> Self {
        let mut touched = Self::default();
        for fault in &nation.faults {
            touched.add(nation, *fault);
        }
        touched
    }

    fn add(&mut self, nation: &ScoringNation, fault: Fault) {
        let mut gone = |org: usize, months: Range<usize>| {
            let markers = 0..nation.markers.len();
            let of = |month| markers.clone().map(move |marker| (org, marker, month));
            self.absent.extend(months.flat_map(of));
        };
        match fault {
            Fault::Merger {
                org,
                absorbed,
                month,
            } => {
                gone(absorbed, month..nation.months);
                self.organisations.insert(org);
            }
            Fault::Tiny { org } => {
                self.organisations.insert(org);
            }
            Fault::Redefinition { marker, month } | Fault::NationalShock { marker, month } => {
                let before = self.markers.insert(marker, month);
                assert_eq!(before, None, "no marker changes twice");
            }
            Fault::LateStart { org, month } => gone(org, 0..month),
            Fault::MissingReturn {
                org,
                dataset: Dataset::Quality,
                month,
            } => gone(org, month..month + 1),
            Fault::MissingFigure { org, marker, month } => {
                self.absent.insert((org, marker, month));
            }
            Fault::DuplicatedMonth {
                org,
                dataset: Dataset::Quality,
                month,
            } => {
                self.copied.insert((org, month));
            }
            _ => {}
        }
    }
}

#[test]
fn a_figure_that_no_fault_names_is_what_it_would_have_been() {
    let (clean, faulty) = (with(FaultRates::NONE), many());
    assert_eq!(clean.truth, faulty.truth);
    let touched = Touched::of(&faulty);
    let (was, is) = (last(&clean), last(&faulty));
    let mut held = 0;
    for (key @ (org, marker, month), figure) in &was {
        if touched.copied.contains(&(*org, *month)) {
            continue;
        }
        assert_eq!(
            is.contains_key(key),
            !touched.absent.contains(key),
            "{key:?}"
        );
        let changed = touched
            .markers
            .get(marker)
            .is_some_and(|from| from <= month)
            || touched.organisations.contains(org);
        if let Some(now) = is.get(key).filter(|_| !changed) {
            assert_eq!(figure, now, "{key:?}");
            held += 1;
        }
    }
    println!(
        "{held} of {} figures are as they would have been",
        was.len()
    );
    assert_eq!(was.len(), 200 * 20 * 48);
    assert!(held > 90_000, "{held}");
    assert!(touched.organisations.len() > 20 && touched.markers.len() == 4);
    assert!(touched.copied.len() > 50 && touched.absent.len() > 5000);
}

#[test]
fn a_merged_organisation_returns_both_parts_and_the_other_nothing_more() {
    let clean = with(FaultRates::NONE);
    let merged = with(FaultRates {
        mergers: 0.2,
        ..FaultRates::NONE
    });
    let (was, is) = (last(&clean), last(&merged));
    let mut mergers = 0;
    for fault in &merged.faults {
        let Fault::Merger {
            org,
            absorbed,
            month: from,
        } = *fault
        else {
            continue;
        };
        mergers += 1;
        assert!(
            merged
                .truth
                .iter()
                .all(|row| row.org != org && row.org != absorbed)
        );
        for marker in 0..clean.markers.len() {
            for month in 0..clean.months {
                let (own, other) = (was[&(org, marker, month)], was[&(absorbed, marker, month)]);
                let expected = if month < from {
                    own
                } else {
                    (own.0 + other.0, own.1 + other.1)
                };
                assert_eq!(is[&(org, marker, month)], expected);
                assert_eq!(is.contains_key(&(absorbed, marker, month)), month < from);
            }
        }
        let pence = |nation: &ScoringNation, org: usize, month: usize| {
            let of = |row: &&_| matches!(row, qipp_nation::scenario::SavingsRow { org: o, month: m, .. } if (*o, *m) == (org, month));
            nation.savings.iter().find(of).map(|row| row.actual_pence)
        };
        let last = clean.months - 1;
        let both = pence(&clean, org, last).unwrap() + pence(&clean, absorbed, last).unwrap();
        assert_eq!(pence(&merged, org, last), Some(both));
        assert_eq!(pence(&merged, absorbed, last), None);
    }
    assert_eq!(mergers, 20);
}

#[test]
fn returns_come_late_or_are_put_right_when_the_faults_say_so() {
    let nation = many();
    let (mut late, mut restated) = (BTreeMap::new(), BTreeMap::new());
    for fault in &nation.faults {
        match *fault {
            Fault::LateReturn {
                org,
                dataset: Dataset::Quality,
                month,
                received,
            } => {
                late.insert((org, month), received);
            }
            Fault::RestatedReturn {
                org,
                dataset: Dataset::Quality,
                month,
                received,
            } => {
                restated.insert((org, month), received);
            }
            _ => {}
        }
    }
    let mut rows: BTreeMap<Key, Vec<&ObservationRow>> = BTreeMap::new();
    for row in &nation.observations {
        assert!(row.numerator >= 0 && row.denominator >= 1, "{row:?}");
        assert!(
            !nation.markers[row.marker].proportion || row.numerator <= row.denominator,
            "{row:?}"
        );
        rows.entry(key(row)).or_default().push(row);
    }
    let mut differ = 0;
    for ((org, _, month), rows) in &rows {
        let received: Vec<usize> = rows.iter().map(|row| row.received).collect();
        let expected = match (late.get(&(*org, *month)), restated.get(&(*org, *month))) {
            (Some(late), None) => vec![*late],
            (None, Some(right)) => vec![*month, *right],
            (None, None) => vec![*month],
            (Some(_), Some(_)) => panic!("late and restated at once"),
        };
        assert_eq!(received, expected);
        assert!(received.iter().all(|at| (0..=3).contains(&(at - month))));
        differ += usize::from(rows.len() == 2 && rows[0].denominator < rows[1].denominator);
    }
    let share = late.len() as f64 / (200.0 * 48.0);
    assert!((0.07..0.12).contains(&share), "{share}");
    assert!(differ > 10_000, "{differ}");
}

#[test]
fn a_duplicated_month_is_the_one_before_to_the_last_count() {
    let nation = many();
    let figures = last(&nation);
    let month_of = |org: usize, month: usize| -> Vec<_> {
        (0..nation.markers.len())
            .map(|marker| figures.get(&(org, marker, month)))
            .collect()
    };
    let mut seen = 0;
    for fault in &nation.faults {
        if let Fault::DuplicatedMonth {
            org,
            dataset: Dataset::Quality,
            month,
        } = *fault
        {
            assert_eq!(month_of(org, month), month_of(org, month - 1));
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn a_shock_moves_all_and_a_redefinition_moves_each_in_its_own_way() {
    let clean = with(FaultRates::NONE);
    let shocked = with(FaultRates {
        shocks: 0.05,
        ..FaultRates::NONE
    });
    let redefined = with(FaultRates {
        redefinitions: 0.05,
        ..FaultRates::NONE
    });
    let link = |nation: &ScoringNation, (x, n): (i64, i64), marker: usize| {
        let (x, n) = (x as f64 + 0.5, n as f64 + 1.0);
        if nation.markers[marker].proportion {
            (x / (n - x)).ln()
        } else {
            (x / n).ln()
        }
    };
    // Mean over months of the change, by organisation.
    let changes = |nation: &ScoringNation, marker: usize, from: usize| -> Vec<f64> {
        let (was, is) = (last(&clean), last(nation));
        (0..200)
            .map(|org| {
                let by_month = (from..48).map(|month| {
                    let key = (org, marker, month);
                    link(nation, is[&key], marker) - link(nation, was[&key], marker)
                });
                by_month.sum::<f64>() / (48 - from) as f64
            })
            .collect()
    };
    let moments = |all: &[f64]| {
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        (
            mean,
            (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt(),
        )
    };
    let (
        &[Fault::NationalShock { marker, month }],
        &[
            Fault::Redefinition {
                marker: other,
                month: from,
            },
        ],
    ) = (&shocked.faults[..], &redefined.faults[..])
    else {
        panic!("{:?} {:?}", shocked.faults, redefined.faults);
    };
    let (shift, spread) = moments(&changes(&shocked, marker, month));
    let (_, apart) = moments(&changes(&redefined, other, from));
    println!("shock {shift:.3} with spread {spread:.3}; redefinition with spread {apart:.3}");
    assert!(shift.abs() > 10.0 * spread, "{shift} {spread}");
    assert!(apart > 5.0 * spread, "{apart} {spread}");
}

#[test]
fn the_files_say_when_rows_became_known_only_where_it_matters() {
    let header = |nation: &ScoringNation| {
        (
            files::observations(nation).next().unwrap(),
            files::savings(nation).next().unwrap(),
        )
    };
    let plain = header(&with(FaultRates {
        missing_figures: 0.1,
        ..FaultRates::NONE
    }));
    assert_eq!(plain.0, "org_code,period,marker,numerator,denominator");
    assert_eq!(plain.1, "org_code,period,plan_pence,actual_pence");
    let late = with(FaultRates {
        late: 0.1,
        ..FaultRates::NONE
    });
    assert_eq!(
        header(&late).0,
        "org_code,period,marker,numerator,denominator,received"
    );
    assert_eq!(
        header(&late).1,
        "org_code,period,plan_pence,actual_pence,received"
    );
    let row = late
        .observations
        .iter()
        .find(|row| row.received == 3 && row.month == 1)
        .unwrap();
    let line = format!(
        "{},2010-05,{},{},{},2010-07",
        late.organisations[row.org], late.markers[row.marker].code, row.numerator, row.denominator
    );
    assert!(
        files::observations(&late).any(|held| held == line),
        "{line}"
    );
}
