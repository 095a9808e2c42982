//! What is wrong or odd with savings lines.

use std::collections::BTreeMap;

use super::{Against, Problem, check_code, check_count};
use crate::nation::Ledger;
use crate::quantity::MAX_PENCE;
use crate::returns::SavingsLine;
use crate::savings;
use crate::{KnownAt, Pence, Period};

pub(super) fn check_savings(
    lines: Vec<(usize, SavingsLine)>,
    period: Option<Period>,
    against: &Against<'_>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Vec<SavingsLine> {
    check_count(lines.len(), "return.savings.lines", problems);
    let mut seen = BTreeMap::new();
    let mut checked = Vec::with_capacity(lines.len());
    for (index, line) in lines {
        let field = format!("return.savings.lines[{index}]");
        let id = line.scheme;
        check_code(|| format!("{field}.scheme_id"), id.as_str(), problems);
        if let Some(first) = seen.insert(line.scheme, index) {
            let what = format!(
                "{} is already given by lines[{first}]: send it once",
                line.scheme
            );
            problems.push(Problem::new(
                "DUPLICATE_SCHEME",
                format!("{field}.scheme_id"),
                what,
            ));
        }
        if against
            .ledger
            .and_then(|ledger| ledger.scheme_history(line.scheme))
            .is_none_or(|h| h.latest().is_none())
        {
            let what = format!(
                "{} is not registered: register the scheme first (SubmitScheme)",
                line.scheme
            );
            problems.push(Problem::new(
                "UNKNOWN_SCHEME",
                format!("{field}.scheme_id"),
                what,
            ));
        }
        check_line(&line, &field, problems);
        if let (Some(period), Some(ledger)) = (period, against.ledger) {
            warn_line(&line, &field, period, ledger, warnings);
        }
        checked.push(line);
    }
    checked.sort_by_key(|line| line.scheme);
    checked
}

fn check_line(line: &SavingsLine, field: &str, problems: &mut Vec<Problem>) {
    let figures = [
        ("plan_pence", line.plan),
        ("actual_pence", line.actual),
        ("actual_ytd_pence", line.actual_ytd),
        ("forecast_pence", line.forecast),
        ("recurrent_pence", line.recurrent),
    ];
    for (name, figure) in figures {
        check_pence(&format!("{field}.{name}"), figure, problems);
    }
    let delivered = line.actual.is_some() || line.actual_ytd.is_some();
    match line.missing {
        None if !delivered => {
            let what = "state what was delivered (actual_pence or actual_ytd_pence), or the reason why there is no figure (missing)";
            problems.push(Problem::new("NO_FIGURE", field, what));
        }
        Some(_) if delivered || line.recurrent.is_some() => {
            let what = "it gives a figure and says that there is none: send one of the two";
            problems.push(Problem::new(
                "FIGURE_AND_MISSING",
                format!("{field}.missing"),
                what,
            ));
        }
        _ => {}
    }
}

pub(super) fn check_pence(field: &str, amount: Option<Pence>, problems: &mut Vec<Problem>) {
    if amount.is_some_and(|a| a.0.unsigned_abs() > MAX_PENCE.unsigned_abs()) {
        let what = "more than £10bn: amounts are whole pence, check the unit";
        problems.push(Problem::new("AMOUNT_TOO_LARGE", field, what));
    }
}

/// Contradictions with earlier months are odd, and stay as they were sent: real returns fall and are restated.
fn warn_line(
    line: &SavingsLine,
    field: &str,
    period: Period,
    ledger: &Ledger,
    warnings: &mut Vec<Problem>,
) {
    let at = &KnownAt::Latest;
    let april = period.month_of_financial_year() == 1;
    let before = period
        .plus(-1)
        .filter(|_| !april)
        .and_then(|p| savings::year_to_date(ledger, line.scheme, p, at));
    if let (Some(ytd), Some(before)) = (line.actual_ytd, before)
        && ytd < before
    {
        let what = format!(
            "the year to date falls from {before} to {ytd}: restate the earlier month if it was wrong (R97)"
        );
        warnings.push(Problem::new(
            "YEAR_TO_DATE_FALLS",
            format!("{field}.actual_ytd_pence"),
            what,
        ));
    }
    let start = if april { Some(Pence(0)) } else { before };
    if let (Some(month), Some(ytd), Some(start)) = (line.actual, line.actual_ytd, start)
        && start + month != ytd
    {
        let what = format!(
            "{start} so far and {month} this month do not make {ytd}: the month counts as stated"
        );
        warnings.push(Problem::new(
            "MONTH_AND_YEAR_DISAGREE",
            format!("{field}.actual_ytd_pence"),
            what,
        ));
    }
    let usual = period
        .plus(-1)
        .and_then(|p| savings::in_month(ledger, line.scheme, p, at));
    if let (Some(now), Some(usual)) = (line.actual, usual)
        && usual.0 != 0
    {
        #[allow(clippy::cast_precision_loss, reason = "a ratio to within 5%")]
        let ratio = now.0 as f64 / usual.0 as f64;
        if (950.0..=1050.0).contains(&ratio) || (0.000_95..=0.001_05).contains(&ratio) {
            let what = format!(
                "{now} after {usual} last month: pounds, thousands or pence? Amounts are whole pence (R97)"
            );
            warnings.push(Problem::new(
                "UNIT_LOOKS_WRONG",
                format!("{field}.actual_pence"),
                what,
            ));
        }
    }
}
