//! Every figure that the simulation is set by, with its unit and its source.
//!
//! *aggregates* is `data/savings_national_aggregates.csv` (scope, financial year); *peers* is
//! `data/trust_characteristics_peerfinder.csv`; *catalogue* is `data/markers.csv`; *chosen* is a judgement, said so.

pub mod scenarios;

use qipp_domain::FinancialYear;

/// Annual operating expenses of the trust that the catalogue calls medium, in pounds. Source: peers, median £317.9m
/// of 208 trusts.
pub const MEDIUM_TRUST_SPEND: f64 = 317_863_000.0;

/// Spend below which a trust is simulated as if it had this, in pounds: no trust of peers is under £69m; chosen to
/// keep counts sane.
pub const SMALLEST_SPEND: f64 = 10_000_000.0;

/// Occupied bed days a month of a medium trust. Source: catalogue, CDI (18,500 bed days).
pub const MEDIUM_BED_DAYS: f64 = 18_500.0;

/// What trusts plan to save in a financial year.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct YearPlan {
    /// Median over trusts, share of annual spend (0 to 1).
    pub share_of_spend: f64,
    /// Part of it that national pay and tariff decisions bring (0 to 1).
    pub national_part: f64,
}

/// The median plan of a year.
///
/// * 2010-11: 4.5%. Aggregates: foundation trusts planned 4.4% of operating costs; London providers delivered 4.8% of
///   turnover.
/// * 2011-12: 5.5%. Aggregates: 131 acute trusts planned 6.0% of turnover on average, 30% up on 2010-11 (so 4.6%
///   before). The median is chosen below that: it is an average with a long tail, and of acute trusts only.
/// * 2012-13 and later: 5.1%. Domain report section 1: trusts set about 5% yearly (King's Fund).
///
/// The government meant 40% to come from national action (aggregates, England, 2011-12 to 2014-15). Before the
/// two-year pay freeze of April 2011 only the tariff did, so 2010-11 has 30% (chosen). What is left for the trusts'
/// own schemes is then nearly level: 3.2, 3.4 and 3.2% of spend, so that savings do not rise everywhere at once by
/// R01, which leaves national items out.
#[must_use]
pub fn year_plan(year: FinancialYear) -> YearPlan {
    match year.0 {
        ..=2010 => YearPlan {
            share_of_spend: 0.045,
            national_part: 0.30,
        },
        2011 => YearPlan {
            share_of_spend: 0.055,
            national_part: 0.38,
        },
        _ => YearPlan {
            share_of_spend: 0.051,
            national_part: 0.38,
        },
    }
}

/// First financial year with a national pay freeze as a saving of its own (general knowledge: announced June 2010 for
/// two years).
pub const PAY_FREEZE_FROM: FinancialYear = FinancialYear(2011);

/// Spread of the plan between trusts, standard deviation of the logarithm. Source: aggregates, acute trusts 2011-12:
/// "all but 15 of 131 above 4%; seven at least 10%" around 6% gives 0.33 on both sides.
pub const PLAN_SPREAD: f64 = 0.30;

/// Spread of the plan between years of a trust, standard deviation of the logarithm. Chosen.
pub const PLAN_YEAR_SPREAD: f64 = 0.06;

/// The year by quarters for schemes that start in April, share of the year (sums to 1). Together with
/// [`SCHEME_STARTS`] a trust's whole plan has about 13% in quarter 1 (aggregates: London PCTs 2012-13, 59.8 of 445.5
/// = 13.4%) and 42% by half-year (aggregates: England 2011-12, 2.5bn in six months, "c.42% of annual forecast").
pub const QUARTERS: [f64; 4] = [0.169, 0.303, 0.264, 0.264];

/// When a trust's own schemes start: first month of the financial year (from 0) and probability. Chosen: plans were
/// refreshed in April and September (domain report section 1).
pub const SCHEME_STARTS: [(usize, f64); 3] = [(0, 0.64), (3, 0.21), (6, 0.15)];

/// How much a continuing line of work changes from year to year: standard deviation of the logarithm of its part of
/// the plan, and probability that it becomes something else. Chosen.
pub const LINE_CHANGES: (f64, f64) = (0.12, 0.2);

/// Own schemes a trust and year, fewest and most; one or two national ones come on top, and two more where savings
/// jump: 4 to 10 in all. Chosen.
pub const OWN_SCHEMES: (usize, usize) = (3, 6);

/// Median delivered over planned. Sources: aggregates: London providers 2010-11, 83%; London PCTs 87%; foundation
/// trusts 2012-13, 16% short. Full-year ratios of local bodies in the press: median 0.85 (0.65 to 1.00), n = 24 (a
/// biased sample: shortfalls make news).
pub const DELIVERY_MEDIAN: f64 = 0.85;

/// Spread of delivery between trusts, between years of a trust, and between months (autoregressive), standard
/// deviations of the logarithm. Together 0.31: the interquartile range 0.65 to 1.00 gives ln(1.00/0.65)/1.349 = 0.32.
/// The split is chosen.
pub const DELIVERY_SPREAD: (f64, f64, f64) = (0.26, 0.08, 0.15);

/// Autocorrelation of delivery from month to month. Chosen: a scheme that is behind stays behind.
pub const DELIVERY_RHO: f64 = 0.6;

/// Spread of delivery between schemes of a trust and month, standard deviation of the logarithm. Chosen.
pub const SCHEME_SPREAD: f64 = 0.12;

/// Probability that a scheme of one's own is not recurrent. Source: domain report section 1: up to £520m of £5.8bn
/// (9%) of 2011-12 was one-off; a little more here, because that is of a total which includes recurrent national
/// items.
pub const ONE_OFF: f64 = 0.13;

/// Recurrent part of what a recurrent scheme delivers, lowest and highest over schemes (0 to 1). Chosen.
pub const RECURRENT_PART: (f64, f64) = (0.88, 1.0);

/// Autocorrelation of markers from month to month, lowest and highest. Source: domain report section 0: lag-1 0.55
/// (median) on four-hour waits, the most persistent case; the simulations behind the rules: 0.3 to 0.6. The upper
/// half of it, because counting noise takes some away.
pub const MARKER_RHO: (f64, f64) = (0.50, 0.60);

/// Part of a marker's innovation that a trust's markers share (0 to 1): the correlation of two markers before
/// counting noise. With it, observed residuals correlate by about 0.2, as in the simulations behind the rules.
pub const SHARED_PART: f64 = 0.30;

/// Degrees of freedom of innovations: heavy tails, as in the simulations behind the rules.
pub const TAIL: f64 = 6.0;

/// Month effect that all trusts share, as a part of a marker's own standard deviation. Chosen.
pub const NATIONAL_PART: f64 = 0.6;

/// Months over which a slip builds up. As in the simulations behind the rules.
pub const RAMP: i32 = 3;

/// Size of a slip, lowest and highest, in a trust's own standard deviations of the marker (persistent and counting
/// noise together). Chosen: domain report section 5 finds 2 in four markers in a median of 2 months, 3 always.
pub const SLIP: (f64, f64) = (2.5, 3.5);

/// Extra monthly plan of a trust whose savings jump, lowest and highest, as a part of the mean monthly plan of its
/// own schemes. Chosen.
pub const JUMP: (f64, f64) = (0.9, 1.4);

/// Own plan of a trust whose quality slips without a savings rise, against what it would be, in the year of onset and
/// after. Chosen: clear of the 1.05 by which R01 calls savings rising.
pub const FALLING: (f64, f64) = (0.76, 0.58);

/// Events a month that a marker should have before a slip is put into it: fewer hide in counting noise. Chosen.
pub const EVENTS_TO_SLIP: f64 = 8.0;
