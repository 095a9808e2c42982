//! R06: a marker moved across the country.
//!
//! **Asks** the national team, once, what hundreds of organisations would otherwise be asked one by one: a marker that jumps for all at
//! the same time is a winter, a changed definition, a new tariff or a strike, and none of their doing (suppression column of R01: "national
//! shock > 30 % of organisations: convert to a national alert").
//!
//! **Amber** in a month whose joint decision ([`qipp_domain::surveillance`]) lists national changes. The alert stands under the code at
//! the root of the tree with the most members. No parameters.

use qipp_domain::alert::{Finding, Severity};
use qipp_domain::reference::Reference;
use qipp_domain::surveillance::Assessment;
use qipp_domain::{OrgCode, Period, Slug};

use crate::subject::Subject;
use crate::{Context, LooksAt, Rule, wording};

/// The rule.
pub const RULE: Rule = Rule {
    id: "R06",
    title: "A marker moved across the country",
    looks_at: LooksAt::Nation,
    parameters: &[],
    evaluate,
};

/// Who stands for the nation: the root of the tree with the most members, the first by name among equals.
#[must_use]
pub fn nation(reference: &Reference) -> Option<OrgCode> {
    let mut trees: Vec<(usize, Slug, OrgCode)> = reference
        .trees()
        .map(|tree| (tree.members().count(), tree.tree, tree.root))
        .collect();
    trees.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    trees.first().map(|(_, _, root)| *root)
}

fn evaluate(subject: &Subject<'_>, period: Period) -> Option<Finding> {
    let context = &subject.context;
    if nation(context.reference) != Some(subject.org) {
        return None;
    }
    let changes: Vec<(&Assessment, Vec<String>)> = context
        .nation
        .assessments()
        .iter(context.known_at)
        .filter(|decided| decided.period == period && !decided.national.is_empty())
        .map(|decided| {
            (
                decided,
                decided
                    .national
                    .iter()
                    .map(|held| moved(context, held))
                    .collect(),
            )
        })
        .collect();
    if changes.is_empty() {
        return None;
    }
    let parts: Vec<String> = changes
        .iter()
        .map(|(decided, moves)| format!("{} (kind {})", wording::list(moves), decided.peer_group))
        .collect();
    let seen = format!(
        "In {period} there moved for all organisations at once: {}",
        parts.join("; ")
    );
    let mut evidence = subject.evidence(None, Vec::new(), Vec::new(), parts);
    evidence.simulated = changes.iter().any(|(decided, _)| decided.simulated);
    Some(Finding {
        rule: RULE.id.to_owned(),
        org: subject.org,
        period,
        severity: Severity::Amber,
        summary: format!("{seen}."),
        question: format!(
            "{seen}. Was it a season, a definition, a payment rule, or care? Organisations were held against each other, so none of \
             them was asked because of it: who looks at the whole?"
        ),
        asked: vec![
            "national improvement team".to_owned(),
            "national data team".to_owned(),
        ],
        suppressed_because: String::new(),
        evidence,
    })
}

fn moved(context: &Context<'_>, change: &qipp_domain::surveillance::NationalChange) -> String {
    let name = context.reference.latest_marker(change.marker);
    let name = name.map_or_else(|| change.marker.to_string(), |held| held.name.clone());
    let way = if change.jump > 0.0 { "worse" } else { "better" };
    format!("{name} for the {way}")
}

/// The latest month decided of any kind, for the one that stands for the nation.
pub(crate) fn latest_decided(subject: &Subject<'_>) -> Option<Period> {
    let context = &subject.context;
    (nation(context.reference) == Some(subject.org)).then_some(())?;
    let all = context.nation.assessments().iter(context.known_at);
    all.map(|decided| decided.period).max()
}
