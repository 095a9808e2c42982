use super::*;
use crate::score::input::{Figure, MarkerEntry, Returns, Saving};

const MONTHS: usize = 36;

/// Five organisations with two markers, of which organisation 0 saves more and slips in the first from month 24 on.
fn returns(rise: f64, slip: f64) -> Returns {
    let noise = |org: usize, month: usize, at: usize| {
        // Differs by organisation, month and series, and is far from 0.
        let place = (org * 31 + month * 17 + at * 7 + org * month * 3) % 11;
        place as f64 - 5.0
    };
    let markers = [
        ("ONE", Polarity::LowerIsBetter),
        ("TWO", Polarity::HigherIsBetter),
    ];
    let markers = markers.map(|(code, polarity)| MarkerEntry {
        code: code.to_owned(),
        domain: "safety".to_owned(),
        polarity,
    });
    let (mut figures, mut savings) = (Vec::new(), Vec::new());
    for org in 0..5 {
        for month in 0..MONTHS {
            let moved = if org == 0 && month >= 24 { 1.0 } else { 0.0 };
            for marker in 0..2 {
                let slip = if marker == 0 { slip } else { -slip / 4.0 };
                figures.push(Figure {
                    org,
                    marker,
                    month,
                    received: month,
                    numerator: 500.0 + 4.0 * noise(org, month, marker) + moved * slip,
                    denominator: 1000.0,
                });
            }
            savings.push(Saving {
                org,
                month,
                received: month,
                actual_pence: 1e6 + 1e4 * noise(org, month, 2) + moved * rise,
            });
        }
    }
    let codes = (0..5).map(|org| format!("ORG{org}")).collect();
    let first = Period::new(2010, 4).unwrap();
    Returns::assemble(markers.to_vec(), codes, (first, MONTHS), figures, savings).0
}

fn says(returns: &Returns, months: usize) -> Vec<Vec<Saying>> {
    let mut known = Known::new(returns);
    known.advance(months);
    says_all(&known, &Method::ALL)
}

#[test]
fn every_method_sees_what_cannot_be_overseen_and_only_there() {
    let said = says(&returns(1.5e5, 150.0), 30);
    for (method, sayings) in Method::ALL.into_iter().zip(&said) {
        let alerted: Vec<usize> = (0..5).filter(|org| sayings[*org].alert).collect();
        // Two markers slip, so three can't.
        let expected: &[usize] = if method == Method::MdcThree {
            &[]
        } else {
            &[0]
        };
        assert_eq!(alerted, expected, "{method:?}: {sayings:?}");
        assert!(sayings[0].strength > sayings[1].strength);
        assert!(sayings[0].markers.contains(&0));
    }
}

#[test]
fn savings_alone_and_slips_alone_alert_nobody() {
    for (rise, slip) in [(1.5e5, 0.0), (0.0, 150.0), (0.0, 0.0)] {
        let said = says(&returns(rise, slip), 30);
        assert!(
            said.iter().flatten().all(|saying| !saying.alert),
            "{rise} {slip}"
        );
    }
}

#[test]
fn an_improvement_is_no_slip() {
    let said = says(&returns(1.5e5, -150.0), 30);
    assert!(said.iter().flatten().all(|saying| !saying.alert));
}

#[test]
fn nothing_known_says_nothing() {
    let empty = Returns {
        figures: Vec::new(),
        savings: Vec::new(),
        ..returns(0.0, 0.0)
    };
    assert!(
        says(&empty, 30)
            .iter()
            .flatten()
            .all(|saying| *saying == Saying::default())
    );
}

#[test]
fn two_of_three_is_the_second_largest_of_the_latest_three_and_cusum_adds_up() {
    let returns = returns(1.5e5, 150.0);
    let mut known = Known::new(&returns);
    known.advance(27);
    let z = link::standardise(&known);
    let line = z.line(0, 0);
    assert!(
        line[..24].iter().all(|z| z.is_nan()),
        "the baseline says nothing of itself"
    );
    let mut latest = line[24..].to_vec();
    latest.sort_by(f64::total_cmp);
    let marker = z.line(0, 1)[24..].to_vec();
    let mut second = marker.clone();
    second.sort_by(f64::total_cmp);
    let twos = twos(&known, &z);
    assert_eq!(twos[0].strength, latest[1].min(second[1]));
    let sum = |line: &[f64]| {
        line.iter()
            .fold(0.0, |sum: f64, z| (sum + z - 0.5).max(0.0))
    };
    let cusums = cusums(&known, &z);
    let expected = sum(&line[24..]).min(sum(&marker).max(sum(&z.line(0, 2)[24..])));
    assert!((cusums[0].strength - expected).abs() < 1e-12);
}

#[test]
fn the_median_of_four_is_the_mean_of_the_middle_two() {
    assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
    assert_eq!(median(&mut [4.0, 1.0, 3.0]), Some(3.0));
    assert_eq!(median(&mut []), None);
}
