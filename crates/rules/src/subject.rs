//! One organisation at one moment: what rules ask it.
//!
//! Everything that needs the ledger is read once, because rules look at many months of the same series.

use std::collections::BTreeMap;

use qipp_domain::alert::{Evidence, Finding, LateReturn, MarkerEvidence, SavingsEvidence};
use qipp_domain::marker::TriggerRole;
use qipp_domain::nation::Ledger;
use qipp_domain::{MarkerCode, OrgCode, Period, SchemeId};

use crate::Context;
use crate::rising::Savings;
use crate::series::{Reader, Series, kind_of, quality_returns};
use crate::slip::{self, SlipOutcome};

/// An organisation at a moment.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The moment.
    pub context: Context<'a>,
    /// The organisation.
    pub org: OrgCode,
    /// Its savings.
    pub savings: Savings<'a>,
    ledger: Option<&'a Ledger>,
    series: BTreeMap<MarkerCode, Series>,
}

impl<'a> Subject<'a> {
    /// The organisation as known at the moment.
    #[must_use]
    pub fn new(context: Context<'a>, org: OrgCode) -> Self {
        let ledger = context.nation.ledger(org);
        Self {
            context,
            org,
            savings: Savings::of(ledger, context.known_at),
            ledger,
            series: all_series(&context, org, ledger),
        }
    }

    /// Returns and schemes; `None` when there were never any.
    #[must_use]
    pub fn ledger(&self) -> Option<&'a Ledger> {
        self.ledger
    }

    /// The latest month with a quality return.
    #[must_use]
    pub fn latest_quality_period(&self) -> Option<Period> {
        let returns = quality_returns(&self.context, self.ledger?);
        returns.last().map(|(period, _)| period)
    }

    /// Every marker with a figure, as a series.
    pub fn all_series(&self) -> impl Iterator<Item = &Series> {
        self.series.values()
    }

    /// What a marker does in a month.
    #[must_use]
    pub fn slip(&self, marker: MarkerCode, period: Period) -> SlipOutcome {
        match self.series.get(&marker) {
            Some(series) => slip::judge(&self.context, series, period),
            None => SlipOutcome::NotJudged(slip::NotJudged::NoFigure),
        }
    }

    /// The series of a role in the quality domains that have a figure in the month. Roles go with the version of the definition
    /// that the figure follows.
    pub fn watched(&self, role: TriggerRole, period: Period) -> impl Iterator<Item = &Series> {
        self.series.values().filter(move |series| {
            let version = series.point(period).map(|point| point.version);
            let definition =
                version.and_then(|version| self.context.reference.marker(series.marker, version));
            definition.is_some_and(|held| held.role == role && held.domain.is_quality())
        })
    }

    /// The live schemes that declared the marker in advance, as their aim or as a guard against harm.
    #[must_use]
    pub fn linked_schemes(&self, marker: MarkerCode, period: Period) -> Vec<SchemeId> {
        self.savings
            .schemes()
            .filter(|scheme| scheme.is_live_in(period))
            .filter(|scheme| {
                scheme
                    .linked_markers
                    .iter()
                    .any(|link| link.marker == marker)
            })
            .map(|scheme| scheme.id)
            .collect()
    }

    /// Evidence at this moment.
    #[must_use]
    pub fn evidence(
        &self,
        savings: Option<SavingsEvidence>,
        markers: Vec<MarkerEvidence>,
        late_returns: Vec<LateReturn>,
        notes: Vec<String>,
    ) -> Evidence {
        let simulated = savings.as_ref().is_some_and(|side| side.simulated)
            || markers.iter().any(|m| m.simulated);
        Evidence {
            cut: self.context.cut.clone(),
            rule_set_version: self.context.rules.version().to_owned(),
            as_of: self.context.as_of,
            savings,
            markers,
            late_returns,
            simulated,
            notes,
            joint: None,
        }
    }

    /// What the markers and the savings of an earlier finding look like in a month: the evidence that it no longer holds.
    #[must_use]
    pub fn evidence_again(&self, earlier: &Finding, period: Period) -> Evidence {
        let mut notes = Vec::new();
        let mut markers = Vec::new();
        for held in &earlier.evidence.markers {
            match self.slip(held.marker, period) {
                SlipOutcome::NotJudged(why) => notes.push(format!(
                    "{}: cannot be judged in {period} ({why})",
                    held.marker
                )),
                outcome => {
                    if let SlipOutcome::LeftOut(_, reason) = &outcome {
                        notes.push(format!("{}: {reason}", held.marker));
                    }
                    let linked = self.linked_schemes(held.marker, period);
                    let again = outcome
                        .reading()
                        .map(|reading| reading.evidence(held.direction, linked));
                    markers.extend(again);
                }
            }
        }
        let asked_savings = earlier.evidence.savings.is_some();
        let savings = asked_savings.then(|| self.savings.evidence(self.context.rules, period));
        self.evidence(savings, markers, Vec::new(), notes)
    }
}

/// Reads every series in one pass over the returns.
fn all_series(
    context: &Context<'_>,
    org: OrgCode,
    ledger: Option<&Ledger>,
) -> BTreeMap<MarkerCode, Series> {
    let mut all: BTreeMap<MarkerCode, Series> = BTreeMap::new();
    let (Some(ledger), Some(kind)) = (ledger, kind_of(context, org)) else {
        return all;
    };
    let mut reader = Reader::new(context, kind);
    // Returns mostly speak of the same markers in the same order, so that each is found where it was the last time.
    let mut series: Vec<Series> = Vec::new();
    for (period, revision) in quality_returns(context, ledger) {
        for (at, (marker, point)) in reader.points(period, revision, None).enumerate() {
            let here = series.get(at).is_some_and(|held| held.marker == marker);
            let at = match here {
                true => at,
                false => series
                    .iter()
                    .position(|held| held.marker == marker)
                    .unwrap_or_else(|| {
                        let points = Vec::new();
                        series.push(Series { marker, points });
                        series.len() - 1
                    }),
            };
            series[at].points.push(point);
        }
    }
    all.extend(series.into_iter().map(|series| (series.marker, series)));
    all
}
