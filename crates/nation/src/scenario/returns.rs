//! What is returned of what really was, when, and with which faults.

use std::collections::BTreeMap;

use qipp_domain::{Dataset, OrgCode};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::faults::{Fault, FaultRates, Plan};
use super::markers::MODELS;
use super::quality::{self, Organisation, Parts, Weather};
use super::savings::{self, Economy, Money};
use super::{ObservationRow, SavingsRow, ScenarioConfig, Story};
use crate::calibration::scenarios::{DELAY, NOT_YET_COUNTED, SIZE_SPREAD, TINY};
use crate::noise::{Purpose, between, chance, count, normal, stream};

/// Everything that decides what an organisation returns.
#[derive(Debug)]
pub(crate) struct Nation<'a> {
    config: &'a ScenarioConfig,
    organisations: &'a [OrgCode],
    stories: BTreeMap<usize, &'a Story>,
    plan: &'a Plan,
    weather: Weather,
    economy: Economy,
}

/// What was returned so far.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) observations: Vec<ObservationRow>,
    pub(crate) savings: Vec<SavingsRow>,
    pub(crate) faults: Vec<Fault>,
}

impl Sent {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            observations: Vec::new(),
            savings: Vec::new(),
            faults: plan.of_markers().collect(),
        }
    }
}

impl<'a> Nation<'a> {
    pub(crate) fn new(
        config: &'a ScenarioConfig,
        organisations: &'a [OrgCode],
        stories: &'a [Story],
        plan: &'a Plan,
    ) -> Self {
        Self {
            config,
            organisations,
            stories: stories.iter().map(|story| (story.org, story)).collect(),
            plan,
            weather: Weather::new(config, plan),
            economy: Economy::new(config),
        }
    }

    /// Adds what one organisation returns.
    pub(crate) fn send(&self, org: usize, sent: &mut Sent) {
        sent.faults.extend(self.plan.of_organisation(org));
        self.send_quality(org, sent);
        self.send_savings(org, sent);
    }

    fn organisation(&self, org: usize) -> Organisation<'_> {
        let code = self.organisations[org];
        let mut rng = stream(self.config.seed, Some(code), Purpose::Size);
        let size = (SIZE_SPREAD * normal(&mut rng)).exp();
        let tiny = between(&mut rng, TINY);
        Organisation {
            code,
            size: if self.plan.lives[org].tiny {
                size * tiny
            } else {
                size
            },
            story: self.stories.get(&org).copied(),
        }
    }

    /// Figures by marker and month; of the merged organisation both's parts.
    fn figures(&self, org: usize) -> Vec<Vec<Parts>> {
        let of = |org| {
            quality::figures(
                self.config,
                &self.weather,
                self.plan,
                self.organisation(org),
            )
        };
        let mut figures = of(org);
        if let Some((absorbed, month)) = self.plan.lives[org].absorbs {
            for (own, other) in figures.iter_mut().zip(of(absorbed)) {
                for (own, other) in own.iter_mut().zip(other).skip(month) {
                    own.numerator += other.numerator;
                    own.denominator += other.denominator;
                }
            }
        }
        figures
    }

    fn money(&self, org: usize) -> Vec<Money> {
        let of = |org| savings::savings(self.config, &self.economy, self.organisation(org));
        let mut money = of(org);
        if let Some((absorbed, month)) = self.plan.lives[org].absorbs {
            for (own, other) in money.iter_mut().zip(of(absorbed)).skip(month) {
                own.plan += other.plan;
                own.actual += other.actual;
            }
        }
        money
    }

    fn send_quality(&self, org: usize, sent: &mut Sent) {
        let figures = self.figures(org);
        let dataset = Dataset::Quality;
        let mut post = Post::new(self.config, self.organisations[org], org, dataset);
        let mut last: Vec<(usize, Parts)> = Vec::new();
        let life = self.plan.lives[org];
        for month in life.start..life.end {
            // A marker's figure is drawn to be missing whatever becomes of the return.
            let mut given: Vec<(usize, Parts)> = Vec::new();
            let mut missing = Vec::new();
            for (marker, series) in figures.iter().enumerate() {
                if chance(&mut post.rng, self.config.faults.missing_figures) {
                    missing.push(Fault::MissingFigure { org, marker, month });
                } else {
                    given.push((marker, series[month]));
                }
            }
            let Some(delivery) = post.next(month, !last.is_empty(), &mut sent.faults) else {
                last.clear();
                continue;
            };
            if delivery.duplicated {
                given.clone_from(&last);
            } else {
                sent.faults.extend(missing);
            }
            for &(marker, parts) in &given {
                let row = |parts: Parts, received| ObservationRow {
                    org,
                    marker,
                    month,
                    numerator: whole(parts.numerator),
                    denominator: whole(parts.denominator),
                    received,
                };
                if let Some(first) = delivery.provisional {
                    let provisional = provisional(marker, parts, first);
                    sent.observations.push(row(provisional, month));
                }
                sent.observations.push(row(parts, delivery.received));
            }
            last = given;
        }
    }

    fn send_savings(&self, org: usize, sent: &mut Sent) {
        let money = self.money(org);
        let dataset = Dataset::Savings;
        let mut post = Post::new(self.config, self.organisations[org], org, dataset);
        let mut last: Option<Money> = None;
        let life = self.plan.lives[org];
        for (month, &truly) in money.iter().enumerate().take(life.end).skip(life.start) {
            let Some(delivery) = post.next(month, last.is_some(), &mut sent.faults) else {
                last = None;
                continue;
            };
            let given = last.filter(|_| delivery.duplicated).unwrap_or(truly);
            let row = |actual, received| SavingsRow {
                org,
                month,
                plan_pence: whole(given.plan),
                actual_pence: whole(actual),
                received,
            };
            if let Some((first, _)) = delivery.provisional {
                sent.savings.push(row(part(given.actual, first), month));
            }
            sent.savings.push(row(given.actual, delivery.received));
            last = Some(given);
        }
    }
}

/// What of a figure was there at first: these parts of the numerator and of the denominator.
fn provisional(marker: usize, of: Parts, (counted, denominated): (f64, f64)) -> Parts {
    let denominator = part(of.denominator, denominated).max(1);
    let numerator = part(of.numerator, counted);
    Parts {
        numerator: if MODELS[marker].proportion {
            numerator.min(denominator)
        } else {
            numerator
        },
        denominator,
    }
}

/// What becomes of the returns of one organisation and dataset, month by month.
struct Post {
    rng: ChaCha8Rng,
    rates: FaultRates,
    org: usize,
    dataset: Dataset,
}

/// How a return was sent.
struct Delivery {
    /// Month at whose end it was there, or right.
    received: usize,
    /// Last month's return is sent in its place.
    duplicated: bool,
    /// Parts of the first and the second figure that a provisional return has, which came in time.
    provisional: Option<(f64, f64)>,
}

impl Post {
    fn new(config: &ScenarioConfig, code: OrgCode, org: usize, dataset: Dataset) -> Self {
        let purpose = match dataset {
            Dataset::Quality => Purpose::Gaps,
            Dataset::Savings => Purpose::SavingsGaps,
        };
        Self {
            rng: stream(config.seed, Some(code), purpose),
            rates: config.faults,
            org,
            dataset,
        }
    }

    /// `None`: not sent. Everything is drawn each month, so that one rate changes nothing of the other faults.
    fn next(&mut self, month: usize, has_last: bool, faults: &mut Vec<Fault>) -> Option<Delivery> {
        let (org, dataset) = (self.org, self.dataset);
        let missing = chance(&mut self.rng, self.rates.missing_returns);
        let duplicated = chance(&mut self.rng, self.rates.duplicated) && has_last;
        let late = chance(&mut self.rng, self.rates.late);
        let restated = chance(&mut self.rng, self.rates.restated) && !late;
        let received = month + self.rng.random_range(DELAY.0..=DELAY.1);
        let lacks = (
            between(&mut self.rng, NOT_YET_COUNTED),
            between(&mut self.rng, NOT_YET_COUNTED),
        );
        if missing {
            faults.push(Fault::MissingReturn {
                org,
                dataset,
                month,
            });
            return None;
        }
        if duplicated {
            faults.push(Fault::DuplicatedMonth {
                org,
                dataset,
                month,
            });
        }
        if late {
            faults.push(Fault::LateReturn {
                org,
                dataset,
                month,
                received,
            });
        }
        if restated {
            faults.push(Fault::RestatedReturn {
                org,
                dataset,
                month,
                received,
            });
        }
        Some(Delivery {
            received: if late || restated { received } else { month },
            duplicated,
            provisional: restated.then_some((1.0 - lacks.0, 1.0 - lacks.1)),
        })
    }
}

fn part(of: u64, share: f64) -> u64 {
    count(of as f64 * share)
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
