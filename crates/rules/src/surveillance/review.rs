//! From the returns known at a moment to the joint decision over the organisations of a kind.
//!
//! What real data has, and what becomes of it here:
//!
//! * *missing and late months*: a month without a figure is no number, and a marker of which no national value is published for a month
//!   (too few have returned it yet) is not looked at in that month, so that the first to return are not compared among themselves;
//! * *restated figures*: the figures are those known at the moment; the month is assessed again when they change;
//! * *redefinitions* (R98): only figures of the version in force in the month assessed are used. The series begins anew there;
//! * *mergers and splits*: the organisation begins anew in the month of the succession, and nothing is said of it for six months;
//! * *short histories*, *small denominators*, *copies*: see [`super::table`] and `faults.rs`;
//! * *national shocks*: what moves for all is taken off, and listed once, as a national change.

use std::collections::BTreeMap;

use qipp_domain::marker::{MarkerDefinition, Polarity, QualityDomain, TriggerRole};
use qipp_domain::nation::Ledger;
use qipp_domain::surveillance::{Assessment, NationalChange, PeerValue, Tier, Watched};
use qipp_domain::{Dataset, KnownAt, MarkerCode, OrgCode, Period, Slug};
use qipp_spc::surveillance::{Alert, Assessment as Decided, Judgement};
use sha2::{Digest, Sha256};

use super::table::{Adverse, Measure, Table, WINDOW};
use super::{Options, SurveillanceError, assess};
use crate::rising::Savings;
use crate::rule_set::RuleSetInForce;
use crate::series::{Reader, Scale, quality_returns};
use crate::{Context, r01, r05};

/// How surveillance is set by the rules in force.
#[must_use]
pub fn options(rules: &RuleSetInForce) -> Options {
    Options {
        baseline_months: rules.count(&r05::BASELINE_MONTHS) as usize,
        resamples: rules.count(&r05::RESAMPLES) as usize,
        alert_q: rules.value(&r05::ALERT_Q),
        watch_q: rules.value(&r05::WATCH_Q),
        marker_q: rules.value(&r05::MARKER_Q),
    }
}

/// The kinds of organisations that ever returned anything.
#[must_use]
pub fn kinds(context: &Context<'_>) -> Vec<Slug> {
    let of = |org| context.reference.organisation(org).map(|held| held.kind);
    let mut kinds: Vec<Slug> = context
        .nation
        .ledgers()
        .filter_map(|(org, _)| of(org))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The latest month of which enough is known to assess a kind: in it at least `quorum` (0 to 1) of the organisations have sent both
/// returns that sent them in the best of the three months before. `None` when nobody has.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a small count")]
pub fn frontier(context: &Context<'_>, kind: Slug, quorum: f64) -> Option<Period> {
    let mut counts: BTreeMap<Period, usize> = BTreeMap::new();
    for (_, ledger) in peers(context, kind) {
        let at = context.known_at;
        for period in ledger.periods(Dataset::Quality, at) {
            if ledger.known(Dataset::Savings, period, at).is_some() {
                *counts.entry(period).or_default() += 1;
            }
        }
    }
    let enough = |(period, count): (&Period, &usize)| {
        let before = (1..=3).filter_map(|months| counts.get(&period.plus(-months)?));
        let most = before.max().copied().unwrap_or(0);
        (*count as f64 >= quorum * most as f64).then_some(*period)
    };
    counts.iter().rev().find_map(enough)
}

fn peers<'a>(context: &Context<'a>, kind: Slug) -> impl Iterator<Item = (OrgCode, &'a Ledger)> {
    let reference = context.reference;
    context.nation.ledgers().filter(move |(org, _)| {
        reference
            .organisation(*org)
            .is_some_and(|held| held.kind == kind)
    })
}

/// Decides over all organisations of a kind at the end of a month, from what is known at the moment.
///
/// Whether an organisation is *confirmed* depends on the assessment of the month before that is known at the moment.
///
/// # Errors
///
/// [`SurveillanceError`] when the kind has no marker to be judged by, or more than the core takes.
pub fn review(
    context: &Context<'_>,
    kind: Slug,
    period: Period,
) -> Result<Assessment, SurveillanceError> {
    let read = Read::of(context, kind, period);
    let options = options(context.rules);
    let decided = assess(
        &read.table,
        read.table.months(),
        &options,
        seed(kind, period),
    )?;
    let before = period.plus(-1).and_then(|before| {
        context
            .nation
            .assessments()
            .known(kind, before, context.known_at)
    });
    Ok(read.conclude(context, period, &decided, before))
}

/// Resampling is the same for everybody who computes the month again.
fn seed(kind: Slug, period: Period) -> u64 {
    let digest = Sha256::digest(format!("{kind}/{period}").as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

/// The figures of a kind as a table, with what its places stand for.
struct Read {
    kind: Slug,
    first: Period,
    organisations: Vec<OrgCode>,
    markers: Vec<MarkerDefinition>,
    domains: Vec<QualityDomain>,
    table: Table,
    simulated: bool,
}

impl Read {
    fn of(context: &Context<'_>, kind: Slug, period: Period) -> Self {
        let first = first_month(period);
        let months = usize::try_from(period.months_since(first) + 1).unwrap_or(1);
        let markers = markers_for(context, period);
        let mut domains: Vec<QualityDomain> = markers.iter().map(|held| held.domain).collect();
        domains.sort_unstable();
        domains.dedup();
        let measures = markers.iter().map(|held| Measure {
            scale: Scale::of(held),
            adverse: match held.polarity {
                Polarity::HigherIsBetter => Adverse::Down,
                Polarity::LowerIsBetter | Polarity::Neutral => Adverse::Up,
            },
            domain: domains
                .iter()
                .position(|domain| *domain == held.domain)
                .unwrap_or(0),
        });
        let peers: Vec<(OrgCode, &Ledger)> = peers(context, kind).collect();
        let mut table = Table::new(peers.len(), months, measures.collect());
        table.floors.denominator = context.rules.value(&r01::DENOMINATOR_FLOOR);
        table.floors.expected = context.rules.value(&r01::EXPECTED_FLOOR);
        let organisations = peers.iter().map(|(org, _)| *org).collect();
        let mut read = Self {
            kind,
            first,
            organisations,
            markers,
            domains,
            table,
            simulated: false,
        };
        read.figures(context, &peers, period);
        read.savings(context.known_at, &peers, period);
        read.successions(context, period);
        read
    }

    fn month(&self, period: Period) -> Option<usize> {
        usize::try_from(period.months_since(self.first)).ok()
    }

    fn figures(&mut self, context: &Context<'_>, peers: &[(OrgCode, &Ledger)], until: Period) {
        let index: BTreeMap<MarkerCode, (usize, u32)> = self
            .markers
            .iter()
            .enumerate()
            .map(|(at, held)| (held.marker, (at, held.version)))
            .collect();
        let mut reader = Reader::new(context, self.kind);
        // Returns mostly speak of the same markers in the same order: by place, the marker that was there and what it is to the table.
        let mut places: Vec<(MarkerCode, Option<(usize, u32)>)> = Vec::new();
        for (organisation, (_, ledger)) in peers.iter().enumerate() {
            for (period, revision) in quality_returns(context, ledger) {
                let Some(month) = self.month(period).filter(|_| period <= until) else {
                    continue;
                };
                let points = reader.points(period, revision, None).enumerate();
                for (place, (marker, point)) in points {
                    if places.get(place).is_none_or(|(held, _)| *held != marker) {
                        places.truncate(place);
                        places.push((marker, index.get(&marker).copied()));
                    }
                    let Some((at, version)) = places[place].1 else {
                        continue;
                    };
                    if point.version == version && point.national.is_some() {
                        let denominator = point.own.denominator.map(|held| held.to_f64());
                        let numerator = point.own.numerator.to_f64();
                        self.table
                            .set_figure(organisation, at, month, numerator, denominator);
                        self.simulated |= point.simulated;
                    }
                }
            }
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "pence of one organisation fit 53 bits"
    )]
    fn savings(&mut self, at: &KnownAt, peers: &[(OrgCode, &Ledger)], until: Period) {
        for (organisation, (_, ledger)) in peers.iter().enumerate() {
            let savings = Savings::of(Some(ledger), at);
            for (period, delivered) in savings.delivered() {
                let month = self.month(period).filter(|_| period <= until);
                if let (Some(month), Some(pence)) = (month, delivered) {
                    self.table.set_savings(organisation, month, pence.0 as f64);
                }
            }
        }
    }

    fn successions(&mut self, context: &Context<'_>, until: Period) {
        for succession in context.reference.successions() {
            let Ok(period) = Period::of(succession.date) else {
                continue;
            };
            let Some(month) = self.month(period).filter(|_| period <= until) else {
                continue;
            };
            for org in [succession.org, succession.successor] {
                if let Ok(organisation) = self.organisations.binary_search(&org) {
                    self.table.rebase(organisation, month);
                }
            }
        }
    }

    fn conclude(
        &self,
        context: &Context<'_>,
        period: Period,
        decided: &Decided,
        before: Option<&Assessment>,
    ) -> Assessment {
        let alerts = decided.alerts.len();
        let mut watched: Vec<Watched> = decided
            .watch
            .iter()
            .enumerate()
            .filter_map(|(place, entry)| {
                let judgement = decided.judgements[entry.unit].as_ref()?;
                Some(self.watched(entry, judgement, place < alerts, before))
            })
            .collect();
        watched.sort_unstable_by_key(|held| held.org);
        let mut national: Vec<NationalChange> = decided
            .national
            .iter()
            .filter_map(|event| {
                let marker = self.markers.get(event.series.checked_sub(1)?)?.marker;
                let jump = event.jump;
                Some(NationalChange { marker, jump })
            })
            .collect();
        national.sort_unstable_by_key(|held| held.marker);
        let months = self.table.months();
        let peers = self.markers.iter().enumerate().filter_map(|(at, held)| {
            let number = decided
                .typical
                .get(1 + at)
                .filter(|number| number.is_finite());
            let value = self.table.figure(at, *number?, months);
            let marker = held.marker;
            Some(PeerValue { marker, value })
        });
        let assessed = decided.judgements.iter().flatten().count();
        Assessment {
            peer_group: self.kind,
            period,
            assessed: u32::try_from(assessed).unwrap_or(u32::MAX),
            expected_false: decided.expected_false,
            expected_false_watched: 0.0 + decided.watch.iter().map(|entry| entry.lfdr).sum::<f64>(),
            watched,
            national,
            peers: peers.collect(),
            rule_set_version: context.rules.version().to_owned(),
            cut: context.cut.clone(),
            simulated: self.simulated,
        }
    }

    fn watched(
        &self,
        entry: &Alert,
        judgement: &Judgement,
        is_alert: bool,
        before: Option<&Assessment>,
    ) -> Watched {
        let org = self.organisations[entry.unit];
        let was_alert = before
            .and_then(|before| before.of(org))
            .is_some_and(|held| held.tier > Tier::Watch);
        let mut markers: Vec<MarkerCode> = entry
            .markers
            .iter()
            .filter_map(|series| Some(self.markers.get(series.checked_sub(1)?)?.marker))
            .collect();
        markers.sort_unstable();
        Watched {
            org,
            tier: match (is_alert, was_alert) {
                (false, _) => Tier::Watch,
                (true, false) => Tier::Alert,
                (true, true) => Tier::Confirmed,
            },
            chance_false: entry.lfdr,
            savings_p: judgement.savings_p,
            quality_p: judgement.quality_p,
            domain: self.domains[entry.domain],
            since: self.since(entry.since),
            markers,
        }
    }

    /// The month that an index of the panel stands for. The table has no more months than the panel.
    fn since(&self, month: usize) -> Period {
        let months = i32::try_from(month).unwrap_or(0);
        self.first.plus(months).unwrap_or(self.first)
    }
}

/// The first month that is looked at: an April, so that what is looked at changes once a year.
fn first_month(period: Period) -> Period {
    let least = i32::try_from(WINDOW).unwrap_or(i32::MAX) - 12;
    let latest = period.plus(1 - least).unwrap_or(Period::FIRST);
    latest.april().unwrap_or(latest)
}

/// Trigger markers in quality domains with a better side, in the version that is in force in the month; in order of their code.
fn markers_for(context: &Context<'_>, period: Period) -> Vec<MarkerDefinition> {
    let mut codes: Vec<MarkerCode> = context
        .reference
        .markers()
        .map(|held| held.marker)
        .collect();
    codes.sort_unstable();
    codes.dedup();
    let in_force = codes
        .into_iter()
        .filter_map(|code| context.reference.marker_for(code, period));
    in_force
        .filter(|held| {
            held.role == TriggerRole::Trigger
                && held.domain.is_quality()
                && held.polarity != Polarity::Neutral
        })
        .cloned()
        .collect()
}
