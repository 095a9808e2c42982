//! A small nation: how often is nothing found where nothing is wrong?

use std::collections::BTreeMap;

use qipp_domain::alert::Severity;
use qipp_domain::benchmark::NationalValue;
use qipp_domain::marker::{MarkerDefinition, Polarity, QualityDomain, SeriesKey, TriggerRole};
use qipp_domain::nation::{Facts, Nation, ReturnFact};
use qipp_domain::reference::ReferenceFact;
use qipp_domain::returns::{
    Body, Measured, Observation, Precondition, Return, ReturnContent, SavingsLine, Status, Value,
};
use qipp_domain::scheme::Scheme;
use qipp_domain::{Cut, KnownAt, MarkerCode, OrgCode, Pence, Period, Slug, Stamp};
use qipp_rules::{Moment, Rule, Subject, slipping_nationally};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

use crate::fixture::{figure, month, org, organisation, scheme, scheme_id, watched};

const ORGANISATIONS: usize = 40;
const MONTHS: i32 = 39;
/// The organisation that slips in four markers of four domains by three sigmas in the last three months.
const SLIPPING: usize = 7;

fn codes() -> Vec<OrgCode> {
    Size::SMALL.codes()
}

/// How much of a nation, and when it was received.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) organisations: usize,
    pub(crate) months: i32,
    /// In each of the five quality domains.
    pub(crate) markers: usize,
    /// Unix time, milliseconds.
    pub(crate) received: i64,
}

impl Size {
    pub(crate) const SMALL: Self = Self {
        organisations: ORGANISATIONS,
        months: MONTHS,
        markers: 2,
        received: 0,
    };

    fn codes(self) -> Vec<OrgCode> {
        let all = 0..self.organisations;
        all.map(|i| org(&format!("R{i:02}"))).collect()
    }
}

/// Markers, so many in each of the five quality domains.
fn definitions(each: usize) -> Vec<MarkerDefinition> {
    let domains = QualityDomain::NAMES
        .iter()
        .filter(|(domain, _)| domain.is_quality());
    let letters = || ["A", "B", "C", "D", "E", "F"].into_iter().take(each);
    let all = domains.flat_map(|(domain, name)| letters().map(|at| (at, *domain, *name)));
    all.map(|(letter, domain, name)| {
        let code = format!("{}_{letter}", name.to_uppercase());
        watched(
            &code,
            domain,
            Polarity::LowerIsBetter,
            TriggerRole::Trigger,
            (0.1, 5_000.0),
        )
        .definition
    })
    .collect()
}

/// A nation in which savings rise everywhere (a twelfth more than last year) and quality is noise of 0.15 on the logit with
/// autocorrelation 0.3, apart from the one that slips.
fn nation() -> (Nation, Cut) {
    made(Size::SMALL)
}

pub(crate) fn made(size: Size) -> (Nation, Cut) {
    let mut rng = ChaCha8Rng::seed_from_u64(2012);
    let normal = Normal::new(0.0, 0.15 * (1.0_f64 - 0.09).sqrt()).unwrap();
    let mut state: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let (mut nation, mut cut) = (Nation::default(), Cut::default());
    let mut append = |nation: &mut Nation, lane: u32, facts: Facts| {
        let offset = cut.next(lane);
        nation.apply(
            Stamp {
                lane,
                offset,
                time_ms: size.received,
            },
            "test",
            facts,
        );
        cut.advance_past(lane, offset);
    };
    let definitions = definitions(size.markers);
    let mut reference: Vec<ReferenceFact> = size
        .codes()
        .iter()
        .map(|code| organisation(code.as_str()))
        .collect();
    reference.extend(definitions.iter().cloned().map(ReferenceFact::Marker));
    append(&mut nation, 1, Facts::Reference(reference));
    for code in size.codes() {
        let scheme = Scheme {
            org: code,
            ..scheme("LOCAL")
        };
        append(
            &mut nation,
            2,
            Facts::Returns(vec![ReturnFact::Scheme {
                scheme,
                precondition: Precondition::default(),
            }]),
        );
    }
    for index in 0..size.months {
        let period = month("2010-01").plus(index).unwrap();
        let mut sums = vec![(0.0, 0.0); definitions.len()];
        for (i, code) in size.codes().into_iter().enumerate() {
            let mut observations = Vec::new();
            for (m, definition) in definitions.iter().enumerate() {
                let held = state.entry((i, m)).or_insert(0.0);
                *held = 0.3 * *held + normal.sample(&mut rng);
                let slips = i == SLIPPING && m % 2 == 0 && m < 8 && index >= size.months - 3;
                let odds = (0.1_f64 / 0.9) * (*held + if slips { 0.45 } else { 0.0 }).exp();
                let cases = (5_000.0 * odds / (1.0 + odds)).round();
                sums[m] = (sums[m].0 + cases, sums[m].1 + 5_000.0);
                observations.push(Observation {
                    key: SeriesKey::whole(definition.marker),
                    definition_version: 1,
                    value: Value::Measured(figure(cases, 5_000.0)),
                    simulated: true,
                });
            }
            observations.sort_by_key(|held| held.key);
            append(
                &mut nation,
                2,
                Facts::Returns(vec![
                    savings(code, period, index),
                    quality(code, period, observations),
                ]),
            );
        }
        let values = definitions
            .iter()
            .zip(&sums)
            .map(|(definition, sum)| national(definition, period, figure(sum.0, sum.1)));
        append(&mut nation, 3, Facts::Benchmarks(values.collect()));
    }
    (nation, cut)
}

fn quality(org: OrgCode, period: Period, observations: Vec<Observation>) -> ReturnFact {
    returned(org, period, Body::Quality(observations.into()))
}

fn savings(org: OrgCode, period: Period, index: i32) -> ReturnFact {
    returned(
        org,
        period,
        Body::Savings(vec![SavingsLine {
            scheme: scheme_id("LOCAL"),
            plan: None,
            actual: Some(Pence(1_000_000 + 100_000 * i64::from(index / 12))),
            actual_ytd: None,
            forecast: None,
            recurrent: None,
            missing: None,
            simulated: true,
        }]),
    )
}

fn returned(org: OrgCode, period: Period, body: Body) -> ReturnFact {
    let content = ReturnContent {
        status: Status::Final,
        source: String::new(),
        narrative: String::new(),
        body,
    };
    ReturnFact::Return(Return {
        org,
        period,
        content,
        precondition: Precondition::default(),
    })
}

pub(crate) fn national(
    definition: &MarkerDefinition,
    period: Period,
    measured: Measured,
) -> NationalValue {
    NationalValue {
        marker: definition.marker,
        peer_group: Slug::new("trust").unwrap(),
        period,
        measured,
        organisations: 40,
        organisations_slipping: 0,
        cut: Cut::default(),
        simulated: true,
    }
}

#[test]
fn noise_in_forty_organisations_raises_few_and_the_one_that_slips_is_found() {
    let (nation, cut) = nation();
    let moment = Moment::at(&nation, cut, "2013-05-01".parse().unwrap());
    let rule = Rule::of("R01").unwrap();
    let last = month("2010-01").plus(MONTHS - 1).unwrap();
    let (mut stable, mut stable_red, mut found) = (0, 0, Vec::new());
    for (i, code) in codes().into_iter().enumerate() {
        let subject = Subject::new(moment.context(&nation), code);
        // The last twelve months all have a full baseline of 24 points.
        for period in last.plus(-11).unwrap().to(last) {
            let Some(finding) = (rule.evaluate)(&subject, period) else {
                continue;
            };
            assert!(finding.severity >= Severity::Amber && finding.evidence.simulated);
            if i == SLIPPING && period > last.plus(-3).unwrap() {
                found.push((period, finding.severity));
            } else {
                stable += 1;
                stable_red += u32::from(finding.severity == Severity::Red);
            }
        }
    }
    // The simulation behind rules.csv has 3.2 a month in 250 organisations with 20 markers at this autocorrelation, and so about a
    // quarter of 0.5 a month in 40 with half as many markers: 1.5 in twelve months.
    assert_eq!((stable, stable_red), (3, 0), "of 477 organisation-months");
    assert_eq!(found.last(), Some(&(last, Severity::Red)), "{found:?}");
}

#[test]
fn organisations_slipping_on_a_value_can_be_counted_before_it_is_published() {
    let (nation, cut) = nation();
    let moment = Moment::at(&nation, cut, "2013-05-01".parse().unwrap());
    let context = moment.context(&nation);
    let last = month("2010-01").plus(MONTHS - 1).unwrap();
    let definition = &definitions(2)[0];
    let count = |instead: &NationalValue| {
        let tried = [(definition.marker, instead.clone())].into();
        let slips = |code: &OrgCode| {
            slipping_nationally(&context, *code, last, &tried) == [definition.marker]
        };
        codes().iter().filter(|code| slips(code)).count()
    };
    let usual = national(definition, last, figure(20_000.0, 200_000.0));
    assert!((1..=4).contains(&count(&usual)), "{}", count(&usual));
    let better_than_all = national(definition, last, figure(8_000.0, 200_000.0));
    assert_eq!(count(&better_than_all), ORGANISATIONS);
}

#[test]
fn the_months_that_decide_give_the_answer_of_the_whole_series() {
    let (nation, cut) = nation();
    let moment = Moment::at(&nation, cut, "2013-05-01".parse().unwrap());
    let context = moment.context(&nation);
    let mut slipping = 0;
    for back in 0..12 {
        let period = month("2010-01").plus(MONTHS - 1 - back).unwrap();
        let published = nation.benchmarks().iter(&KnownAt::Latest);
        let values = published
            .filter(|value| value.period == period)
            .map(|value| (value.marker, value.clone()))
            .collect();
        for code in codes() {
            let subject = Subject::new(context, code);
            let whole = subject.all_series().map(|series| series.marker);
            let whole: Vec<MarkerCode> = whole
                .filter(|marker| subject.slip(*marker, period).counts_nationally())
                .collect();
            let read = qipp_rules::slipping_nationally(&context, code, period, &values);
            assert_eq!(read, whole, "{code} {period}");
            slipping += read.len();
        }
    }
    assert!(slipping > 0);
}
