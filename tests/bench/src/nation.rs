//! The nation that every side is measured with: made from a seed, the same for all, never held in memory as a whole.
//!
//! A figure is a function of (seed, organisation, month, marker, revision), so that any part of the nation can be made anywhere, in any
//! order, by any side. Figures keep within their usual variation, evenly: nobody slips unless [`Nation::harmed_return`] makes them.
//!
//! This is the only file that makes values of the domain and of the contract.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use qipp_api::proto::events::v1 as wire;
use qipp_domain::benchmark::NationalValue;
use qipp_domain::calendar::working_day_after;
use qipp_domain::marker::{MarkerDefinition, Polarity, QualityDomain, RollUp, TriggerRole};
use qipp_domain::nation::{Facts, ReturnFact};
use qipp_domain::reference::{Edge, Obligation, Organisation, ReferenceFact};
use qipp_domain::returns::{
    Body, Measured, Observation, Precondition, Return, ReturnContent, SavingsLine, Status, Value,
};
use qipp_domain::scheme::{Scheme, SchemeCategory};
use qipp_domain::{
    Cut, Dataset, MarkerCode, Missing, OrgCode, Pence, Period, Quantity, SchemeId, SeriesKey, Slug,
};

/// The tree of the nation.
pub const TREE: &str = "nhs";
/// Kind of the organisations of the middle level.
pub const ICB: &str = "icb";
/// Kind of the organisations of the upper level.
pub const REGION: &str = "region";
/// Kind of the organisations that return figures.
const TRUST: &str = "trust";
const ROOT: &str = "ENG";

/// Regions, as England has.
pub const REGIONS: u32 = 7;
/// Integrated care boards, as England has; six a region.
pub const ICBS: u32 = 42;
/// Schemes of an organisation, each a line of its savings return.
pub const SCHEMES: u32 = 2;

/// Of a thousand returns, those that are restated in the month after.
const RESTATED_PER_MILLE: u64 = 20;
/// Of a thousand figures, those that are missing for a stated reason.
const MISSING_PER_MILLE: u64 = 5;
/// Longest plan that a scheme may have.
const LONGEST_PLAN: u32 = 60;
/// April 2005: a hundred and twenty months end before anybody's today.
const FIRST: (i16, i8) = (2005, 4);

/// The five domains in which a slip counts.
const DOMAINS: [QualityDomain; 5] = [
    QualityDomain::Access,
    QualityDomain::Safety,
    QualityDomain::Effectiveness,
    QualityDomain::Experience,
    QualityDomain::Workforce,
];

/// Why figures are missing.
const REASONS: [Missing; 4] = [
    Missing::NotCollected,
    Missing::NotApplicable,
    Missing::WithheldForQuality,
    Missing::Suppressed,
];

/// How big, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nation {
    /// Organisations that return figures.
    pub orgs: u32,
    /// Months of history.
    pub months: u32,
    /// Markers of a quality return.
    pub markers: u32,
    /// Decides all figures.
    pub seed: u64,
}

/// A figure, whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Numerator and denominator.
    Counted(u32, u32),
    /// The reason: 0 to 3.
    Missing(u8),
}

impl Nation {
    /// The name of a folder or a table.
    pub fn name(&self) -> String {
        format!("{}x{}x{}", self.orgs, self.months, self.markers)
    }

    /// All months of the history.
    pub fn all_months(&self) -> std::ops::Range<u32> {
        0..self.months
    }

    /// The month of an index; months after the history are those that are submitted while we measure.
    pub fn period(&self, month: u32) -> Period {
        let first = Period::new(FIRST.0, FIRST.1).expect("April 2005 is a month");
        first
            .plus(i32::try_from(month).expect("fewer months than i32 holds"))
            .expect("within the calendar")
    }

    /// The code of an organisation.
    pub fn org(&self, org: u32) -> OrgCode {
        code(&format!("R{org:05}"))
    }

    /// The integrated care board above an organisation, from 0.
    pub fn icb_of(&self, org: u32) -> u32 {
        org % ICBS
    }

    /// The region above an integrated care board, from 0.
    pub fn region_of_icb(&self, icb: u32) -> u32 {
        icb % REGIONS
    }

    /// The code of an integrated care board.
    pub fn icb(&self, icb: u32) -> OrgCode {
        code(&format!("Q{icb:02}"))
    }

    /// The code of a region.
    pub fn region(&self, region: u32) -> OrgCode {
        code(&format!("Y{region:02}"))
    }

    /// The code of a marker.
    pub fn marker(&self, marker: u32) -> MarkerCode {
        MarkerCode::new(&format!("MARKER{marker:02}")).expect("the code of a marker")
    }

    /// Is the quality return of that month restated in the month after?
    pub fn is_restated(&self, org: u32, month: u32) -> bool {
        self.random(org, month, 0, 0, 1) % 1000 < RESTATED_PER_MILLE
    }

    /// A figure of a revision, from 1. A restatement changes a fifth of the markers.
    pub fn figure(&self, org: u32, month: u32, marker: u32, revision: u32) -> Figure {
        let fixed = self.random(org, 0, marker, 0, 2);
        let changed = if marker % 5 == org % 5 { revision } else { 1 };
        let drawn = self.random(org, month, marker, changed, 3);
        if (drawn >> 32) % 1000 < MISSING_PER_MILLE {
            return Figure::Missing(u8::try_from((drawn >> 50) % 4).expect("below 4"));
        }
        // 800 to 20,799 cases, a percent or so more or less each month; 2% to 21% of them counted, a twentieth more or less.
        let usual = 800 + fixed % 20_000;
        let cases = usual * (980 + drawn % 41) / 1000;
        let rate = 20 + 5 * u64::from(marker % 39);
        let counted = cases * rate * (950 + (drawn >> 16) % 101) / 1_000_000;
        Figure::Counted(small(counted), small(cases))
    }

    /// Planned and delivered by a scheme in a month, pence.
    pub fn savings(&self, org: u32, month: u32, scheme: u32) -> (i64, i64) {
        let plan = 10_000_000 + i64::from(org % 97) * 50_000;
        let share = i64::try_from(self.random(org, month, scheme, 0, 4) % 51).expect("below 51");
        (plan, plan * (950 + share) / 1000)
    }

    fn random(&self, org: u32, month: u32, marker: u32, revision: u32, salt: u64) -> u64 {
        let place = (u64::from(org) << 32) | (u64::from(month) << 16) | (u64::from(marker) << 8);
        mix(mix(self.seed ^ (salt << 56)) ^ place ^ u64::from(revision))
    }

    /// Every quality return of the history in the order in which it came in: organisation, month, revision.
    pub fn history(self) -> impl Iterator<Item = (u32, u32, u32)> + Send {
        (0..self.months).flat_map(move |month| {
            (0..self.orgs).flat_map(move |org| {
                let restated = month > 0 && self.is_restated(org, month - 1);
                let restated = restated.then(|| (org, month - 1, 2));
                restated.into_iter().chain([(org, month, 1)])
            })
        })
    }

    /// Noon of the ninth working day after a month: when its returns come in. Unix milliseconds.
    pub fn received_ms(&self, month: u32) -> i64 {
        let day = working_day_after(self.period(month), 9).at(12, 0, 0, 0);
        day.to_zoned(TimeZone::UTC)
            .expect("UTC has no gaps")
            .timestamp()
            .as_millisecond()
    }
}

/// What goes to the log.
impl Nation {
    /// Organisations, their tree, markers, deadlines, obligations: in the order in which they have to be recorded.
    pub fn reference(&self) -> Vec<ReferenceFact> {
        let mut facts: Vec<ReferenceFact> = (0..self.markers)
            .map(|marker| ReferenceFact::Marker(self.definition(marker)))
            .collect();
        facts.push(organisation(code(ROOT), "nation"));
        facts.push(ReferenceFact::Tree {
            tree: slug(TREE),
            title: "A made-up nation".to_owned(),
            root: code(ROOT),
        });
        for region in 0..REGIONS {
            facts.push(organisation(self.region(region), REGION));
            facts.push(below(self.region(region), code(ROOT)));
        }
        for icb in 0..ICBS {
            facts.push(organisation(self.icb(icb), ICB));
            facts.push(below(self.icb(icb), self.region(self.region_of_icb(icb))));
        }
        for org in 0..self.orgs {
            facts.push(organisation(self.org(org), TRUST));
            facts.push(below(self.org(org), self.icb(self.icb_of(org))));
            for dataset in [Dataset::Quality, Dataset::Savings] {
                facts.push(ReferenceFact::Obligation(Obligation {
                    org: self.org(org),
                    dataset,
                    from: self.period(0),
                    until: None,
                }));
            }
        }
        for month in self.all_months() {
            for dataset in [Dataset::Quality, Dataset::Savings] {
                facts.push(ReferenceFact::Deadline {
                    dataset,
                    period: self.period(month),
                    due: working_day_after(self.period(month), 10),
                });
            }
        }
        facts
    }

    fn definition(&self, marker: u32) -> MarkerDefinition {
        MarkerDefinition {
            marker: self.marker(marker),
            version: 1,
            name: format!("Made-up marker {marker}"),
            domain: DOMAINS[marker as usize % DOMAINS.len()],
            numerator: "cases in which it went wrong".to_owned(),
            denominator: "cases".to_owned(),
            unit: "percent".to_owned(),
            polarity: Polarity::LowerIsBetter,
            roll_up: RollUp::Parts,
            role: TriggerRole::Trigger,
            proportion: true,
            valid_from: None,
            valid_until: None,
            successor: String::new(),
            standard: String::new(),
            publication_lag_days: 14,
            notes: String::new(),
        }
    }

    /// The schemes of an organisation, as one record.
    pub fn schemes(&self, org: u32) -> Facts {
        let scheme = |scheme| {
            let (plan, _) = self.savings(org, 0, scheme);
            let planned = vec![Pence(plan); self.months.clamp(1, LONGEST_PLAN) as usize];
            ReturnFact::Scheme {
                scheme: Scheme {
                    org: self.org(org),
                    id: scheme_id(scheme),
                    title: format!("Made-up scheme {scheme}"),
                    category: SchemeCategory::ClinicalProductivity,
                    start: self.period(0),
                    planned,
                    full_year_effect: Pence(plan * 12),
                    recurrent: true,
                    pay: false,
                    linked_markers: Vec::new(),
                    clinical_lead: String::new(),
                    qia_medical_director: None,
                    qia_nursing_director: None,
                    milestones: Vec::new(),
                    ended: None,
                    simulated: true,
                },
                precondition: Precondition::default(),
            }
        };
        Facts::Returns((0..SCHEMES).map(scheme).collect())
    }

    /// A quality return.
    pub fn quality(&self, org: u32, month: u32, revision: u32) -> Facts {
        let observations = (0..self.markers).map(|marker| Observation {
            key: SeriesKey::whole(self.marker(marker)),
            definition_version: 1,
            value: match self.figure(org, month, marker, revision) {
                Figure::Missing(reason) => Value::Missing(REASONS[usize::from(reason)]),
                Figure::Counted(numerator, denominator) => Value::Measured(Measured {
                    numerator: Quantity::from_count(numerator.into()),
                    denominator: Some(Quantity::from_count(denominator.into())),
                }),
            },
            simulated: true,
        });
        let observations: Vec<Observation> = observations.collect();
        #[allow(
            clippy::useless_conversion,
            reason = "the body's own type may be another than the vector"
        )]
        let body = Body::Quality(observations.into());
        self.received(org, month, revision, body)
    }

    /// A savings return.
    pub fn savings_return(&self, org: u32, month: u32) -> Facts {
        let line = |scheme| {
            let (plan, actual) = self.savings(org, month, scheme);
            SavingsLine {
                scheme: scheme_id(scheme),
                plan: Some(Pence(plan)),
                actual: Some(Pence(actual)),
                actual_ytd: None,
                forecast: Some(Pence(plan * 12)),
                recurrent: Some(Pence(actual / 2)),
                missing: None,
                simulated: true,
            }
        };
        let lines = (0..SCHEMES).map(line).collect();
        self.received(org, month, 1, Body::Savings(lines))
    }

    fn received(&self, org: u32, month: u32, revision: u32, body: Body) -> Facts {
        Facts::Returns(vec![ReturnFact::Return(Return {
            org: self.org(org),
            period: self.period(month),
            content: ReturnContent {
                status: if revision == 1 {
                    Status::Final
                } else {
                    Status::Restated
                },
                source: "made up".to_owned(),
                narrative: String::new(),
                body,
            },
            precondition: Precondition {
                idempotency_key: format!("{org}-{month}-{revision}"),
                expected_revision: None,
            },
        })])
    }

    /// The national value of a marker in a month, from its sums.
    pub fn national(&self, month: u32, marker: u32, sum: Sum, cut: Cut) -> NationalValue {
        NationalValue {
            marker: self.marker(marker),
            peer_group: slug(TRUST),
            period: self.period(month),
            measured: Measured {
                numerator: Quantity::from_count(sum.numerator),
                denominator: Some(Quantity::from_count(sum.denominator)),
            },
            organisations: sum.organisations,
            organisations_slipping: 0,
            cut,
            simulated: true,
        }
    }

    /// The sum of a marker over all organisations, as it stands when everything is in.
    pub fn sum(&self, month: u32, marker: u32) -> Sum {
        let mut sum = Sum::default();
        for org in 0..self.orgs {
            let revision = 1 + u32::from(month + 1 < self.months && self.is_restated(org, month));
            if let Figure::Counted(numerator, denominator) =
                self.figure(org, month, marker, revision)
            {
                sum.numerator += i64::from(numerator);
                sum.denominator += i64::from(denominator);
                sum.organisations += 1;
            }
        }
        sum
    }
}

/// A sum over organisations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Of the numerators.
    pub numerator: i64,
    /// Of the denominators.
    pub denominator: i64,
    /// Organisations with a figure.
    pub organisations: u32,
}

/// What is submitted.
impl Nation {
    /// A quality return as it is sent.
    pub fn sent_quality(&self, org: u32, month: u32, revision: u32) -> wire::Return {
        self.sent(org, month, revision, |_, figure| figure)
    }

    /// A quality return in which two markers of two domains are three times as bad as usual: it raises an alert.
    pub fn harmed_return(&self, org: u32, month: u32, revision: u32) -> wire::Return {
        self.sent(org, month, revision, |marker, figure| match figure {
            Figure::Counted(numerator, denominator) if marker < 2 => {
                Figure::Counted(numerator * 3, denominator)
            }
            // The two that have to slip are there whatever was drawn.
            Figure::Missing(_) if marker < 2 => Figure::Counted(900, 1000),
            other => other,
        })
    }

    fn sent(
        &self,
        org: u32,
        month: u32,
        revision: u32,
        becomes: impl Fn(u32, Figure) -> Figure,
    ) -> wire::Return {
        use wire::observation::Value as Sent;
        let observation = |marker| wire::Observation {
            marker: self.marker(marker).to_string(),
            definition_version: 0,
            breakdown: String::new(),
            value: Some(
                match becomes(marker, self.figure(org, month, marker, revision)) {
                    Figure::Missing(reason) => {
                        Sent::Missing(i32::from(reason) + wire::Missing::NotCollected as i32)
                    }
                    Figure::Counted(numerator, denominator) => Sent::Measured(wire::Measured {
                        numerator: numerator.into(),
                        denominator: Some(denominator.into()),
                    }),
                },
            ),
            simulated: true,
        };
        let status = if revision == 1 {
            wire::ReturnStatus::Final
        } else {
            wire::ReturnStatus::Restated
        };
        wire::Return {
            org_code: self.org(org).to_string(),
            period: self.period(month).to_string(),
            status: status.into(),
            body: Some(wire::r#return::Body::Quality(wire::QualityReturn {
                observations: (0..self.markers).map(observation).collect(),
            })),
            idempotency_key: format!("{org}-{month}-{revision}"),
            expected_revision: Some(revision - 1),
            source: "made up".to_owned(),
            narrative: String::new(),
        }
    }
}

fn organisation(code: OrgCode, kind: &str) -> ReferenceFact {
    ReferenceFact::Organisation(Organisation {
        code,
        name: format!("{code} (made up)"),
        kind: slug(kind),
        opened: None,
        closed: None,
    })
}

fn below(child: OrgCode, parent: OrgCode) -> ReferenceFact {
    ReferenceFact::Edge(Edge {
        tree: slug(TREE),
        child,
        parent,
        from: Date::constant(2000, 1, 1),
        until: None,
    })
}

/// The identifier of a scheme.
pub fn scheme_id(scheme: u32) -> SchemeId {
    SchemeId::new(&format!("SCHEME-{scheme}")).expect("the identifier of a scheme")
}

fn code(text: &str) -> OrgCode {
    OrgCode::new(text).expect("the code of an organisation")
}

fn slug(text: &str) -> Slug {
    text.parse().expect("a name in lower case")
}

fn small(number: u64) -> u32 {
    u32::try_from(number).expect("figures are below 2^32")
}

/// SplitMix64: every bit of the answer depends on every bit of the input.
fn mix(mut state: u64) -> u64 {
    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
