//! One trust and its log. A [`Trust`] is a plain description with sensible months; [`Trust::log`] turns it into facts.

use std::collections::BTreeMap;

use jiff::civil::Date;
use qipp_domain::alert::{AlertFact, Finding};
use qipp_domain::benchmark::NationalValue;
use qipp_domain::marker::{
    MarkerDefinition, Polarity, QualityDomain, RollUp, SeriesKey, TriggerRole,
};
use qipp_domain::nation::{Facts, Nation, ReturnFact};
use qipp_domain::reference::{Organisation, ReferenceFact, RuleSet, RuleSetting};
use qipp_domain::returns::{
    Body, Measured, Missing, Observation, Precondition, Return, ReturnContent, SavingsLine, Status,
    Value,
};
use qipp_domain::scheme::{LinkedMarker, Milestone, MilestoneKind, Scheme, SchemeCategory};
use qipp_domain::{
    Cut, KnownAt, MarkerCode, OrgCode, Pence, Period, Quantity, SchemeId, Slug, Stamp,
};
use qipp_rules::{Moment, Rule, SlipOutcome, Subject};

/// A month far beyond what is usual: more than 3 sigmas.
pub(crate) const FAR: f64 = 3.0;
/// A month at more than 2 and less than 3 sigmas.
pub(crate) const SOME: f64 = 1.7;

/// The month that most scenarios look at. Months run from 2010-01, so that it has a full baseline of 24 points.
pub(crate) const NOW: &str = "2012-06";

/// What usual months do, in units of a marker's step: no long runs, standard deviation about 0.7.
const WOBBLE: [f64; 12] = [
    0.2, 0.9, 0.4, -0.3, -1.0, -0.4, 0.3, 1.1, 0.5, -0.6, -1.1, 0.0,
];

pub(crate) fn month(text: &str) -> Period {
    text.parse().unwrap()
}

pub(crate) fn marker(code: &str) -> MarkerCode {
    MarkerCode::new(code).unwrap()
}

pub(crate) fn org(code: &str) -> OrgCode {
    OrgCode::new(code).unwrap()
}

pub(crate) fn scheme_id(id: &str) -> SchemeId {
    SchemeId::new(id).unwrap()
}

/// A marker of the fixture: definition, national value (per month) and the denominator of the trust.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) definition: MarkerDefinition,
    pub(crate) level: f64,
    pub(crate) denominator: f64,
}

pub(crate) fn watched(
    code: &str,
    domain: QualityDomain,
    polarity: Polarity,
    role: TriggerRole,
    (level, denominator): (f64, f64),
) -> Watched {
    let definition = MarkerDefinition {
        marker: marker(code),
        version: 1,
        name: code.to_owned(),
        domain,
        numerator: "cases".to_owned(),
        denominator: if denominator > 0.0 {
            "of all".to_owned()
        } else {
            String::new()
        },
        unit: "percent".to_owned(),
        polarity,
        roll_up: RollUp::Parts,
        role,
        proportion: denominator > 0.0 && level > 0.01,
        valid_from: None,
        valid_until: None,
        successor: String::new(),
        standard: String::new(),
        publication_lag_days: 0,
        notes: String::new(),
    };
    Watched {
        definition,
        level,
        denominator,
    }
}

/// Nine markers: one or two of each domain, a neutral one, one without denominator, and a sentinel.
fn catalogue() -> Vec<Watched> {
    use Polarity::{HigherIsBetter as High, LowerIsBetter as Low, Neutral};
    use QualityDomain::{Access, Effectiveness, Experience, Safety, Workforce};
    use TriggerRole::{Context, Sentinel, Trigger};
    vec![
        watched("AE_4H", Access, High, Trigger, (0.95, 10_000.0)),
        watched("FALLS_HARM", Safety, Low, Trigger, (0.005, 200_000.0)),
        watched("FFT_IP", Experience, High, Trigger, (0.90, 20_000.0)),
        watched("SICKNESS", Workforce, Low, Trigger, (0.04, 100_000.0)),
        watched("READM_30", Effectiveness, Low, Trigger, (0.08, 50_000.0)),
        watched("OAP_BD", Access, Low, Trigger, (1_000.0, 0.0)),
        watched("CHPPD", Workforce, Neutral, Trigger, (0.50, 50_000.0)),
        watched("STROKE_HF", Effectiveness, High, Context, (0.50, 50_000.0)),
        watched("NEVER_EVT", Safety, Low, Sentinel, (0.0, 18_000.0)),
    ]
}

/// A trust, RJ1, as months and exceptions to them.
#[derive(Clone)]
pub(crate) struct Trust {
    pub(crate) markers: Vec<Watched>,
    pub(crate) first: Period,
    pub(crate) last: Period,
    /// Adverse steps in place of the usual wobble.
    levels: BTreeMap<(MarkerCode, Period), f64>,
    missing: Vec<(MarkerCode, Period)>,
    /// Denominators in place of the usual ones.
    pub(crate) denominators: BTreeMap<(MarkerCode, Period), f64>,
    versions: BTreeMap<(MarkerCode, Period), u32>,
    /// Organisations slipping, of 100.
    pub(crate) slipping: BTreeMap<(MarkerCode, Period), u32>,
    pub(crate) unpublished: Vec<(MarkerCode, Period)>,
    pub(crate) provisional: Vec<Period>,
    /// Pounds delivered in a month by each scheme; `None` is a line without a figure.
    pub(crate) delivered: BTreeMap<(SchemeId, Period), Option<i64>>,
    pub(crate) no_savings_return: Vec<Period>,
    pub(crate) schemes: Vec<Scheme>,
    pub(crate) reference: Vec<ReferenceFact>,
    pub(crate) never_events: BTreeMap<Period, f64>,
    pub(crate) simulated: bool,
}

/// A scheme of the trust without anything that would make it genuine.
pub(crate) fn scheme(id: &str) -> Scheme {
    Scheme {
        org: org("RJ1"),
        id: scheme_id(id),
        title: id.to_owned(),
        category: SchemeCategory::ClinicalProductivity,
        start: month("2010-01"),
        planned: vec![Pence(10_000_000); 48],
        full_year_effect: Pence(120_000_000),
        recurrent: true,
        pay: false,
        linked_markers: Vec::new(),
        clinical_lead: String::new(),
        qia_medical_director: None,
        qia_nursing_director: None,
        milestones: Vec::new(),
        ended: None,
        simulated: false,
    }
}

/// A scheme that meets every condition of R20.
pub(crate) fn genuine_scheme(id: &str) -> Scheme {
    Scheme {
        linked_markers: vec![LinkedMarker {
            marker: marker("STROKE_HF"),
            balancing: true,
        }],
        clinical_lead: "Dr A".to_owned(),
        qia_medical_director: Some("2010-01-04".parse().unwrap()),
        qia_nursing_director: Some("2010-01-04".parse().unwrap()),
        milestones: vec![Milestone {
            title: "ward redesigned".to_owned(),
            kind: MilestoneKind::Clinical,
            due: "2010-06-30".parse().unwrap(),
            done: None,
        }],
        ..scheme(id)
    }
}

impl Trust {
    /// Usual quality, and savings that rose by a fifth from January 2012.
    pub(crate) fn with_rising_savings() -> Self {
        let mut trust = Self::with_flat_savings();
        for period in month("2012-01").to(trust.last) {
            trust.deliver("LOCAL", period, Some(120_000));
        }
        trust
    }

    /// Usual quality, and £100,000 a month from one local scheme.
    pub(crate) fn with_flat_savings() -> Self {
        let (first, last) = (month("2010-01"), month(NOW));
        let mut trust = Self {
            markers: catalogue(),
            first,
            last,
            levels: BTreeMap::new(),
            missing: Vec::new(),
            denominators: BTreeMap::new(),
            versions: BTreeMap::new(),
            slipping: BTreeMap::new(),
            unpublished: Vec::new(),
            provisional: Vec::new(),
            delivered: BTreeMap::new(),
            no_savings_return: Vec::new(),
            schemes: vec![scheme("LOCAL")],
            reference: Vec::new(),
            never_events: BTreeMap::new(),
            simulated: false,
        };
        for period in first.to(last) {
            trust.deliver("LOCAL", period, Some(100_000));
        }
        trust
    }

    pub(crate) fn deliver(&mut self, scheme: &str, period: Period, pounds: Option<i64>) {
        self.delivered.insert((scheme_id(scheme), period), pounds);
    }

    /// The marker stands so many steps on its adverse side (on its good side when negative) in these months.
    pub(crate) fn worse(mut self, code: &str, steps: f64, months: &[&str]) -> Self {
        self.levels.extend(
            months
                .iter()
                .map(|text| ((marker(code), month(text)), steps)),
        );
        self
    }

    pub(crate) fn missing(mut self, code: &str, months: &[&str]) -> Self {
        self.missing
            .extend(months.iter().map(|text| (marker(code), month(text))));
        self
    }

    /// The marker follows version 2 of its definition from the month on.
    pub(crate) fn redefined(mut self, code: &str, from: &str) -> Self {
        let held = self
            .markers
            .iter()
            .find(|w| w.definition.marker == marker(code))
            .unwrap();
        let second = MarkerDefinition {
            version: 2,
            ..held.definition.clone()
        };
        self.reference.push(ReferenceFact::Marker(second));
        for period in month(from).to(self.last) {
            self.versions.insert((marker(code), period), 2);
        }
        self
    }

    pub(crate) fn rules(mut self, rule: &str, enabled: bool, parameters: &[(&str, f64)]) -> Self {
        let parameters = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect();
        let setting = RuleSetting {
            enabled,
            parameters,
        };
        self.reference.push(ReferenceFact::RuleSet(RuleSet {
            version: "2012-1".to_owned(),
            rules: [(rule.to_owned(), setting)].into_iter().collect(),
        }));
        self
    }

    /// The facts of this trust on a log.
    pub(crate) fn log(&self) -> Log {
        let mut log = Log::default();
        let mut reference = vec![organisation("RJ1")];
        reference.extend(
            self.markers
                .iter()
                .map(|w| ReferenceFact::Marker(w.definition.clone())),
        );
        reference.extend(self.reference.clone());
        log.reference(reference);
        for scheme in &self.schemes {
            let fact = ReturnFact::Scheme {
                scheme: scheme.clone(),
                precondition: Precondition::default(),
            };
            log.returns(vec![fact]);
        }
        for period in self.first.to(self.last) {
            if !self.no_savings_return.contains(&period) {
                log.returns(vec![self.savings_return(period)]);
            }
            log.returns(vec![self.quality_return(period)]);
            log.benchmarks(
                self.markers
                    .iter()
                    .filter_map(|w| self.national(w, period))
                    .collect(),
            );
        }
        log
    }

    fn savings_return(&self, period: Period) -> ReturnFact {
        let of_month = self
            .delivered
            .iter()
            .filter(|((_, held), _)| *held == period);
        let lines = of_month.map(|((scheme, _), pounds)| SavingsLine {
            scheme: *scheme,
            plan: None,
            actual: pounds.map(|pounds| Pence(pounds * 100)),
            actual_ytd: None,
            forecast: None,
            recurrent: None,
            missing: pounds.is_none().then_some(Missing::NotSubmitted),
            simulated: self.simulated,
        });
        a_return(period, Status::Final, Body::Savings(lines.collect()))
    }

    pub(crate) fn quality_return(&self, period: Period) -> ReturnFact {
        let mut observations: Vec<Observation> = self
            .markers
            .iter()
            .map(|w| self.observation(w, period))
            .collect();
        observations.sort_by_key(|held| held.key);
        let provisional = self.provisional.contains(&period);
        let status = if provisional {
            Status::Provisional
        } else {
            Status::Final
        };
        a_return(period, status, Body::Quality(observations.into()))
    }

    fn observation(&self, watched: &Watched, period: Period) -> Observation {
        let code = watched.definition.marker;
        let value = if self.missing.contains(&(code, period)) {
            Value::Missing(Missing::NotSubmitted)
        } else {
            Value::Measured(self.own(watched, period))
        };
        Observation {
            key: SeriesKey::whole(code),
            definition_version: self.versions.get(&(code, period)).copied().unwrap_or(1),
            value,
            simulated: self.simulated,
        }
    }

    fn own(&self, watched: &Watched, period: Period) -> Measured {
        let code = watched.definition.marker;
        if watched.definition.role == TriggerRole::Sentinel {
            return figure(
                self.never_events.get(&period).copied().unwrap_or(0.0),
                watched.denominator,
            );
        }
        let index = usize::try_from(period.months_since(self.first)).unwrap();
        let steps = self
            .levels
            .get(&(code, period))
            .copied()
            .unwrap_or(WOBBLE[index % WOBBLE.len()]);
        let adverse = if watched.definition.polarity == Polarity::HigherIsBetter {
            -0.1
        } else {
            0.1
        };
        let denominator = self
            .denominators
            .get(&(code, period))
            .copied()
            .unwrap_or(watched.denominator);
        at_level(watched, adverse * steps, denominator)
    }

    fn national(&self, watched: &Watched, period: Period) -> Option<NationalValue> {
        let code = watched.definition.marker;
        if self.unpublished.contains(&(code, period)) {
            return None;
        }
        let mut measured = at_level(watched, 0.0, watched.denominator * 100.0);
        if watched.denominator == 0.0 {
            measured.numerator = quantity(watched.level * 100.0);
        }
        Some(NationalValue {
            marker: code,
            peer_group: Slug::new("trust").unwrap(),
            period,
            measured,
            organisations: 100,
            organisations_slipping: self.slipping.get(&(code, period)).copied().unwrap_or(2),
            cut: Cut::default(),
            simulated: self.simulated,
        })
    }

    /// What a rule finds for the month that scenarios look at.
    pub(crate) fn finds(&self, rule: &str) -> Option<Finding> {
        self.finds_in(rule, NOW)
    }

    pub(crate) fn finds_in(&self, rule: &str, period: &str) -> Option<Finding> {
        self.log().finds(rule, month(period))
    }

    pub(crate) fn slip(&self, code: &str, period: &str) -> SlipOutcome {
        let log = self.log();
        log.with_subject(|subject| subject.slip(marker(code), month(period)))
    }
}

/// The national level moved by `shift` on the marker's scale.
fn at_level(watched: &Watched, shift: f64, denominator: f64) -> Measured {
    let level = if watched.definition.proportion {
        let odds = watched.level / (1.0 - watched.level) * shift.exp();
        odds / (1.0 + odds)
    } else {
        watched.level * shift.exp()
    };
    if watched.denominator == 0.0 {
        return Measured {
            numerator: quantity(level),
            denominator: None,
        };
    }
    figure((level * denominator).round(), denominator)
}

pub(crate) fn quantity(number: f64) -> Quantity {
    Quantity::from_f64((number * 1000.0).round() / 1000.0).unwrap()
}

pub(crate) fn figure(numerator: f64, denominator: f64) -> Measured {
    Measured {
        numerator: quantity(numerator),
        denominator: Some(quantity(denominator)),
    }
}

pub(crate) fn organisation(code: &str) -> ReferenceFact {
    ReferenceFact::Organisation(Organisation {
        code: org(code),
        name: code.to_owned(),
        kind: Slug::new("trust").unwrap(),
        opened: None,
        closed: None,
    })
}

pub(crate) fn a_return(period: Period, status: Status, body: Body) -> ReturnFact {
    ReturnFact::Return(Return {
        org: org("RJ1"),
        period,
        content: ReturnContent {
            status,
            source: String::new(),
            narrative: String::new(),
            body,
        },
        precondition: Precondition::default(),
    })
}

/// A nation and the positions that it stands at.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) nation: Nation,
    pub(crate) cut: Cut,
}

impl Log {
    fn append(&mut self, lane: u32, facts: Facts) {
        let offset = self.cut.next(lane);
        let time_ms = i64::try_from(offset).unwrap();
        self.nation.apply(
            Stamp {
                lane,
                offset,
                time_ms,
            },
            "test",
            facts,
        );
        self.cut.advance_past(lane, offset);
    }

    pub(crate) fn reference(&mut self, facts: Vec<ReferenceFact>) {
        self.append(1, Facts::Reference(facts));
    }

    pub(crate) fn returns(&mut self, facts: Vec<ReturnFact>) {
        self.append(2, Facts::Returns(facts));
    }

    pub(crate) fn benchmarks(&mut self, values: Vec<NationalValue>) {
        self.append(3, Facts::Benchmarks(values));
    }

    pub(crate) fn alerts(&mut self, facts: Vec<AlertFact>) {
        for fact in facts {
            self.append(4, Facts::Alerts(org("RJ1"), vec![fact]));
        }
    }

    pub(crate) fn today() -> Date {
        "2012-08-01".parse().unwrap()
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment::at(&self.nation, self.cut.clone(), Self::today())
    }

    pub(crate) fn with_subject<T>(&self, look: impl FnOnce(&Subject<'_>) -> T) -> T {
        let moment = self.moment();
        look(&Subject::new(moment.context(&self.nation), org("RJ1")))
    }

    pub(crate) fn finds(&self, rule: &str, period: Period) -> Option<Finding> {
        self.with_subject(|subject| (Rule::of(rule).unwrap().evaluate)(subject, period))
    }

    /// Evaluates RJ1 on a day, applies what happens to its alerts, and says what that was.
    pub(crate) fn evaluate_on(&mut self, day: &str) -> Vec<AlertFact> {
        let moment = Moment::at(&self.nation, self.cut.clone(), day.parse().unwrap());
        let subject = Subject::new(moment.context(&self.nation), org("RJ1"));
        let book = self.nation.alerts(org("RJ1"));
        let facts: Vec<AlertFact> = qipp_rules::evaluate(&subject)
            .iter()
            .flat_map(|evaluated| {
                qipp_rules::transitions(book, &KnownAt::Latest, evaluated, &subject)
            })
            .collect();
        self.alerts(facts.clone());
        facts
    }
}
