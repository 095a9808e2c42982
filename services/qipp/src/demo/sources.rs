//! What the demo loads: the published files of the checkout, and the simulation built on their organisations.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use anyhow::Context;
use qipp_api::files;
use qipp_api::proto::events::v1::reference_fact::Fact;
use qipp_api::proto::events::v1::r#return::Body;
use qipp_api::proto::events::v1::{
    Dataset, ObligationSet, QualityReturn, ReferenceFact, Return, ReturnStatus, SavingsReturn,
    Scheme,
};
use qipp_api::view::{line_to_proto, observation_to_proto, scheme_to_proto};
use qipp_domain::returns::{Precondition, Value};
use qipp_domain::validate::Problem;
use qipp_domain::{Missing, OrgCode, Pence, Period};
use qipp_nation::{Config, Simulation, TrustInput, Truth, simulate};

use super::calendar;

const MARKERS: &[u8] = include_bytes!("../../../../data/markers.csv");
const SUPPLEMENTARY: &[u8] = include_bytes!("../../../../data/markers_supplementary.csv");
const PCT_SHA: &[u8] = include_bytes!("../../../../data/org_pct_sha_2010.csv");
const TRUSTS: &[u8] = include_bytes!("../../../../data/org_trusts.csv");
const SUCCESSION: &[u8] = include_bytes!("../../../../data/org_succession.csv");
const SPEND: &[u8] = include_bytes!("../../../../data/trust_characteristics_peerfinder.csv");
const RTT: &[u8] = include_bytes!("../../../../data/rtt_pct_monthly_2009-12_2010-05.csv.gz");
const ROLL_UPS: &[u8] =
    include_bytes!("../../../../data/rtt_published_rollups_2009-12_2010-05.csv.gz");
const AE: &[u8] = include_bytes!("../../../../data/ae_weekly_trust_2010-11_2013-03.csv.gz");

/// First month of the replay: two years of simulated markers before savings begin to be judged.
pub(crate) const FIRST_MONTH: Month = Month(2009, 4);
/// Last month of the replay: the last of the published A&E figures.
pub(crate) const LAST_MONTH: Month = Month(2013, 3);

/// Operating expenses of a medium trust, for those that the characteristics do not have: £317m a year (domain report §3).
const MEDIAN_SPEND: Pence = Pence(31_700_000_000);

/// A month that is known to be one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Month(i16, i8);

impl Month {
    pub(crate) fn period(self) -> Period {
        Period::new(self.0, self.1).expect("a month of the demo lies in the calendar")
    }

    pub(crate) fn first_day(self) -> jiff::civil::Date {
        self.period().first_day()
    }
}

/// Everything that the demo loads.
pub(crate) struct World {
    /// Organisations, trees, markers; parents first.
    pub(crate) reference: Vec<ReferenceFact>,
    /// Deadlines and obligations.
    pub(crate) obligations: Vec<ReferenceFact>,
    /// Returns by month: PCT waiting times, trust quality (A&E and simulated markers in one return), savings (simulated).
    pub(crate) returns: BTreeMap<Period, Vec<Return>>,
    /// Schemes by the month in which they are registered (simulated).
    pub(crate) schemes: BTreeMap<Period, Vec<Scheme>>,
    /// What was simulated.
    pub(crate) truth: Vec<Truth>,
    /// Trusts that take part.
    pub(crate) trusts: BTreeSet<OrgCode>,
    /// The published roll-ups of the PCT waiting times.
    pub(crate) published: Vec<u8>,
    /// Notes of the file formats.
    pub(crate) notes: Vec<String>,
}

impl World {
    /// Reads the files of the checkout and simulates the rest.
    ///
    /// # Errors
    /// When a file of the checkout is damaged.
    pub(crate) fn build(seed: u64) -> anyhow::Result<Self> {
        let mut reference = whole("markers", files::markers(&[MARKERS, SUPPLEMENTARY]))?;
        reference.extend(whole("PCTs", files::pct_sha_2010(PCT_SHA))?);
        let recorded = files::codes(&reference);
        reference.extend(whole("trusts", files::trusts(TRUSTS, &recorded))?);
        let known = files::codes(&reference);
        reference.extend(whole("succession", files::succession(SUCCESSION, &known))?);
        let rtt = whole(
            "waiting times",
            files::rtt(
                &unpacked(RTT)?,
                "DH referral to treatment, PCT, 2009-12 to 2010-05",
            ),
        )?;
        let ae = whole(
            "A&E",
            files::ae_weekly(&unpacked(AE)?, "weekly A&E situation reports, type 1"),
        )?;
        let spans = spans(&ae.returns, &known);
        let simulation = simulate(&config(seed), &inputs(&spans)?);
        let mut world = Self {
            reference,
            obligations: obligations(&spans),
            returns: BTreeMap::new(),
            schemes: BTreeMap::new(),
            truth: Vec::new(),
            trusts: spans.keys().copied().collect(),
            published: unpacked(ROLL_UPS)?,
            notes: ae.notes,
        };
        let simulated = world.add_simulation(simulation, &spans);
        let of_trusts = ae.returns.into_iter().filter(|r| {
            r.org_code
                .parse()
                .is_ok_and(|code: OrgCode| spans.contains_key(&code))
        });
        // A return replaces the whole month of its organisation, so that what comes from several sources goes into one. The Isle of Wight was
        // commissioner and provider under one code and has all three.
        let published = files::merge_quality(rtt, of_trusts.collect());
        world.add_returns(files::merge_quality(published, simulated));
        Ok(world)
    }

    fn add_returns(&mut self, returns: Vec<Return>) {
        for ret in returns {
            let Ok(period) = ret.period.parse::<Period>() else {
                continue;
            };
            self.returns.entry(period).or_default().push(ret);
        }
    }

    /// Takes schemes and savings, and gives the simulated quality returns, which are to be merged with the published figures of the same month.
    fn add_simulation(
        &mut self,
        simulation: Simulation,
        spans: &BTreeMap<OrgCode, Span>,
    ) -> Vec<Return> {
        let mut quality = Vec::new();
        for trust in simulation.trusts {
            let Some(span) = spans.get(&trust.org) else {
                continue;
            };
            for mut scheme in trust.schemes {
                // What will have been done later is not known when a scheme is registered.
                for milestone in &mut scheme.milestones {
                    milestone.done = milestone
                        .done
                        .filter(|done| *done < scheme.start.first_day());
                }
                let sent = scheme_to_proto(&scheme, &Precondition::default());
                self.schemes.entry(scheme.start).or_default().push(sent);
            }
            for (period, lines) in trust
                .savings
                .into_iter()
                .filter(|(period, _)| span.covers(*period))
            {
                let sent: Vec<_> = lines
                    .iter()
                    .filter(|line| line.missing != Some(Missing::NotSubmitted))
                    .map(line_to_proto)
                    .collect();
                if sent.is_empty() {
                    continue;
                }
                let body = Body::Savings(SavingsReturn { lines: sent });
                self.returns
                    .entry(period)
                    .or_default()
                    .push(simulated_return(trust.org, period, body));
            }
            for (period, observations) in trust
                .quality
                .into_iter()
                .filter(|(period, _)| span.covers(*period))
            {
                // What was not submitted is left out of a return, not stated in it.
                let sent = observations
                    .iter()
                    .filter(|o| o.value != Value::Missing(Missing::NotSubmitted));
                let body = Body::Quality(QualityReturn {
                    observations: sent.map(observation_to_proto).collect(),
                });
                quality.push(simulated_return(trust.org, period, body));
            }
        }
        self.truth = simulation.truth;
        quality
    }
}

fn simulated_return(org: OrgCode, period: Period, body: Body) -> Return {
    Return {
        org_code: org.to_string(),
        period: period.to_string(),
        status: ReturnStatus::Final.into(),
        body: Some(body),
        source: "simulated".to_owned(),
        ..Return::default()
    }
}

/// The months in which a trust returned A&E figures; a trust that is there from the first published month is taken to have been there before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    first: Period,
    last: Period,
    attendances: f64,
}

impl Span {
    fn covers(self, period: Period) -> bool {
        self.first <= period && period <= self.last
    }
}

fn spans(returns: &[Return], known: &BTreeSet<OrgCode>) -> BTreeMap<OrgCode, Span> {
    let mut spans: BTreeMap<OrgCode, Span> = BTreeMap::new();
    let first_published = returns
        .iter()
        .filter_map(|r| r.period.parse::<Period>().ok())
        .min();
    for ret in returns {
        let (Ok(org), Ok(period)) = (
            ret.org_code.parse::<OrgCode>(),
            ret.period.parse::<Period>(),
        ) else {
            continue;
        };
        if !known.contains(&org) {
            continue;
        }
        let attendances = attendances(ret);
        let first = if Some(period) == first_published {
            FIRST_MONTH.period()
        } else {
            period
        };
        let span = spans.entry(org).or_insert(Span {
            first,
            last: period,
            attendances,
        });
        span.first = span.first.min(first);
        span.last = span.last.max(period);
        span.attendances = span.attendances.max(attendances);
    }
    spans
}

fn attendances(ret: &Return) -> f64 {
    let Some(Body::Quality(quality)) = &ret.body else {
        return 0.0;
    };
    let measured = quality.observations.iter().filter_map(|o| match &o.value {
        Some(qipp_api::proto::events::v1::observation::Value::Measured(m))
            if o.marker == "AE_ATT" =>
        {
            Some(m.numerator)
        }
        _ => None,
    });
    measured.sum()
}

fn config(seed: u64) -> Config {
    Config {
        seed,
        first_quality: FIRST_MONTH.period(),
        last: LAST_MONTH.period(),
        ..Config::default()
    }
}

/// Trusts with their annual spend: published where it is, otherwise that of a medium trust in proportion to its attendances.
fn inputs(spans: &BTreeMap<OrgCode, Span>) -> anyhow::Result<Vec<TrustInput>> {
    let spend = published_spend()?;
    let mut sizes: Vec<f64> = spans.values().map(|span| span.attendances).collect();
    sizes.sort_by(f64::total_cmp);
    let median = sizes
        .get(sizes.len() / 2)
        .copied()
        .filter(|size| *size > 0.0)
        .unwrap_or(1.0);
    let estimate = |span: &Span| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "an amount of money to the pound"
        )]
        let pence = (MEDIAN_SPEND.0 as f64 * (span.attendances / median).clamp(0.2, 5.0)) as i64;
        Pence(pence)
    };
    Ok(spans
        .iter()
        .map(|(org, span)| {
            TrustInput::acute(
                *org,
                spend.get(org).copied().unwrap_or_else(|| estimate(span)),
            )
        })
        .collect())
}

/// Operating expenses by trust: the file has thousands of pounds, with the sign of a cost.
fn published_spend() -> anyhow::Result<BTreeMap<OrgCode, Pence>> {
    let text = std::str::from_utf8(SPEND).context("the characteristics of trusts")?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        header
            .iter()
            .position(|held| held.trim() == name)
            .with_context(|| format!("no column {name}"))
    };
    let (code, expenses) = (column("org_code")?, column("operating_expenses")?);
    let rows = lines.filter_map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let thousands: i64 = cells.get(expenses)?.trim().parse().ok()?;
        Some((
            cells.get(code)?.trim().parse().ok()?,
            Pence(-thousands * 100_000),
        ))
    });
    Ok(rows.filter(|(_, spend)| spend.0 > 0).collect())
}

fn obligations(spans: &BTreeMap<OrgCode, Span>) -> Vec<ReferenceFact> {
    let last = LAST_MONTH.period();
    let mut facts: Vec<ReferenceFact> = FIRST_MONTH
        .period()
        .to(last)
        .flat_map(calendar::deadlines)
        .collect();
    for (org, span) in spans {
        let until = if span.last < last {
            span.last.plus(1).map(|p| p.to_string()).unwrap_or_default()
        } else {
            String::new()
        };
        let savings_from = span.first.max(Config::default().first_savings);
        for (dataset, from) in [
            (Dataset::Quality, span.first),
            (Dataset::Savings, savings_from),
        ] {
            let (org_code, until) = (org.to_string(), until.clone());
            let owed = ObligationSet {
                org_code,
                dataset: dataset.into(),
                from: from.to_string(),
                until,
            };
            facts.push(ReferenceFact {
                fact: Some(Fact::ObligationSet(owed)),
            });
        }
    }
    facts
}

fn unpacked(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut text)
        .context("a file of the checkout is damaged")?;
    Ok(text)
}

fn whole<T>(what: &str, read: Result<T, Vec<Problem>>) -> anyhow::Result<T> {
    read.map_err(|problems| {
        let first = problems
            .first()
            .map(|p| format!("{} at {}: {}", p.code, p.field, p.description))
            .unwrap_or_default();
        anyhow::anyhow!("{what}: {} faults, the first: {first}", problems.len())
    })
}
