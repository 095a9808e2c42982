//! R02: quality slipping without savings rising.
//!
//! **Asks** what changed. A decline is a duty to ask whatever the money is doing: "stable or improving" (seed 001) has no clause
//! about savings, and commissioners are to question hospitals whose quality declines (seed 004). It keeps R01 honest: what R01
//! does not ask because savings do not rise is asked here.
//!
//! **Amber** when the markers slip as for R01 and "savings rising" did not hold. Savings that are not known do not rise, so that a
//! missing savings return never silences a decline. **Info** when it takes trial baselines. Parameters are those of R01.

use qipp_domain::Period;
use qipp_domain::alert::{Finding, Severity};

use crate::subject::Subject;
use crate::tally::Tally;
use crate::{LooksAt, Rule, suppress, wording};

/// The rule.
pub const RULE: Rule = Rule {
    id: "R02",
    title: "Quality slipping without savings rising",
    looks_at: LooksAt::Figures,
    parameters: &[],
    evaluate,
};

fn evaluate(subject: &Subject<'_>, period: Period) -> Option<Finding> {
    let rules = subject.context.rules;
    let tally = Tally::of(subject, period);
    let severity = match (tally.is_amber(rules, false), tally.is_amber(rules, true)) {
        (true, _) => Severity::Amber,
        (false, true) => Severity::Info,
        (false, false) => return None,
    };
    if subject.savings.held(rules, period) {
        return None;
    }
    let savings = subject.savings.evidence(rules, period);
    let mut notes = tally.all_notes();
    let missing = subject.savings.missing(period);
    if !missing.is_empty() {
        let months: Vec<String> = missing.iter().map(ToString::to_string).collect();
        notes.push(format!(
            "savings are not known for {}",
            wording::list(&months)
        ));
    }
    let moves = wording::moves(&tally.slipping);
    Some(Finding {
        rule: RULE.id.to_owned(),
        org: subject.org,
        period,
        severity,
        summary: format!(
            "{moves} worsened beyond their usual variation and beyond peers; savings are not known to rise."
        ),
        question: format!("Quality has declined without a savings rise: {moves}. What changed?"),
        asked: vec!["lead commissioner quality lead".to_owned()],
        suppressed_because: suppress::organisation(subject, period),
        evidence: subject.evidence(Some(savings), tally.slipping_evidence(), Vec::new(), notes),
    })
}
