//! What people send, read into drafts that the domain validates: every fault of form at once, each with a pointer and the remedy.
//!
//! Form and size only. Whether an organisation exists, a marker is in use or a total adds up is for `qipp_domain::validate`. It
//! never corrects a figure and never stops at the first fault. Limits stand here and not in `convert`, because they may change and
//! records of the log must be read for ever.

use qipp_domain::reference::ReferenceFact;
use qipp_domain::returns::{Missing, Observation, SavingsLine, Value};
use qipp_domain::validate::{
    DraftBody, Problem, ReturnDraft, SchemeDraft, SchemeParts, control_character,
};
use qipp_domain::{MarkerCode, OrgCode, Pence, Quantity, SeriesKey, quantity::QuantityError};

use crate::convert::{reference, returns};
use crate::names;
use crate::parse::{Faults, Path};
use crate::proto::events::v1 as wire;
use wire::reference_fact::Fact;
use wire::r#return::Body as WireBody;

/// Most characters of an idempotency key.
pub const MAX_IDEMPOTENCY_KEY: usize = 128;
/// Most characters of a return's source, and of any name or title.
pub const MAX_NAME: usize = 200;
/// Most characters of a narrative and of any other remark.
pub const MAX_REMARK: usize = 2_000;
/// Most milestones, and most linked markers, of a scheme.
pub const MAX_SCHEME_ITEMS: usize = 100;

/// Reads a return. Pointers start with `return`.
#[must_use]
pub fn return_draft(ret: &wire::Return) -> ReturnDraft {
    let mut faults = Faults::default();
    let path = Path::root("return");
    let org = faults.org(&path.at("org_code"), &ret.org_code);
    let period = faults.period(&path.at("period"), &ret.period);
    let status = faults.choice(&path.at("status"), ret.status, names::status_from_proto);
    check_length(
        &mut faults,
        &path.at("idempotency_key"),
        &ret.idempotency_key,
        MAX_IDEMPOTENCY_KEY,
    );
    check_length(&mut faults, &path.at("source"), &ret.source, MAX_NAME);
    check_length(
        &mut faults,
        &path.at("narrative"),
        &ret.narrative,
        MAX_REMARK,
    );
    let body = match &ret.body {
        None => {
            faults.add(
                &path,
                "NO_BODY",
                "it holds no figures: state either `savings` or `quality`",
            );
            None
        }
        Some(WireBody::Quality(quality)) => {
            Some(quality_body(&mut faults, &path.at("quality"), quality))
        }
        Some(WireBody::Savings(savings)) => {
            Some(savings_body(&mut faults, &path.at("savings"), savings))
        }
    };
    ReturnDraft {
        org,
        period,
        status,
        precondition: returns::precondition(ret.idempotency_key.clone(), ret.expected_revision),
        source: ret.source.clone(),
        narrative: ret.narrative.clone(),
        body,
        problems: faults.found,
    }
}

/// Reads a scheme. Pointers start with `scheme`.
#[must_use]
pub fn scheme_draft(scheme: &wire::Scheme) -> SchemeDraft {
    let mut faults = Faults::default();
    let path = Path::root("scheme");
    let read = returns::read_scheme(&mut faults, &path, scheme);
    check_length(
        &mut faults,
        &path.at("idempotency_key"),
        &scheme.idempotency_key,
        MAX_IDEMPOTENCY_KEY,
    );
    check_length(&mut faults, &path.at("title"), &scheme.title, MAX_NAME);
    check_length(
        &mut faults,
        &path.at("clinical_lead"),
        &scheme.clinical_lead,
        MAX_NAME,
    );
    for (index, milestone) in scheme.milestones.iter().enumerate() {
        check_length(
            &mut faults,
            &path.item("milestones", index).at("title"),
            &milestone.title,
            MAX_NAME,
        );
    }
    check_count(
        &mut faults,
        &path.at("milestones"),
        scheme.milestones.len(),
        MAX_SCHEME_ITEMS,
    );
    check_count(
        &mut faults,
        &path.at("linked_markers"),
        scheme.linked_markers.len(),
        MAX_SCHEME_ITEMS,
    );
    SchemeDraft {
        parts: read.is_none().then(|| scheme_parts(scheme)),
        scheme: read,
        org: OrgCode::new(&scheme.org_code).ok(),
        precondition: returns::precondition(
            scheme.idempotency_key.clone(),
            scheme.expected_revision,
        ),
        problems: faults.found,
    }
}

/// What can be read of a scheme of which not all can: what is wrong with it is to be told in the same answer.
fn scheme_parts(scheme: &wire::Scheme) -> SchemeParts {
    let titles = scheme.milestones.iter().map(|m| m.title.clone());
    let markers = scheme.linked_markers.iter().enumerate();
    SchemeParts {
        id: scheme.scheme_id.parse().ok(),
        title: scheme.title.clone(),
        clinical_lead: scheme.clinical_lead.clone(),
        milestones: titles.collect(),
        start: scheme.start.parse().ok(),
        ended: scheme.ended.parse().ok(),
        planned: scheme.planned_pence.iter().copied().map(Pence).collect(),
        full_year_effect: Pence(scheme.full_year_effect_pence),
        linked_markers: markers
            .filter_map(|(index, linked)| Some((index, linked.marker.parse().ok()?)))
            .collect(),
    }
}

/// Reads the reference fact that stands at `index` of a request. Pointers start with `facts[index]`.
///
/// # Errors
/// All faults of form.
pub fn reference_fact(
    fact: &wire::ReferenceFact,
    index: usize,
) -> Result<ReferenceFact, Vec<Problem>> {
    let mut faults = Faults::default();
    let path = Path::root_item("facts", index);
    let read = reference::read_fact(&mut faults, &path, fact);
    if let Some(fact) = &fact.fact {
        check_reference(&mut faults, &path, fact);
    }
    faults.finish(read)
}

fn check_reference(faults: &mut Faults, path: &Path<'_>, fact: &Fact) {
    match fact {
        Fact::OrganisationRecorded(fact) => {
            check_name(
                faults,
                &path.at("organisation_recorded").at("name"),
                &fact.name,
            );
        }
        Fact::TreeDefined(fact) => check_words(
            faults,
            &path.at("tree_defined").at("title"),
            &fact.title,
            MAX_NAME,
        ),
        Fact::CommunityRecorded(fact) => {
            check_words(
                faults,
                &path.at("community_recorded").at("title"),
                &fact.title,
                MAX_NAME,
            );
        }
        Fact::MarkerDefined(fact) => check_marker(faults, &path.at("marker_defined"), fact),
        Fact::RuleSetPublished(fact) => {
            check_rule_set(faults, &path.at("rule_set_published"), fact)
        }
        Fact::OrganisationClosed(_)
        | Fact::OrganisationSucceeded(_)
        | Fact::EdgeRecorded(_)
        | Fact::DeadlineSet(_)
        | Fact::ObligationSet(_) => {}
    }
}

fn check_marker(faults: &mut Faults, path: &Path<'_>, fact: &wire::MarkerDefined) {
    check_name(faults, &path.at("name"), &fact.name);
    for (name, text) in [
        ("numerator", &fact.numerator),
        ("denominator", &fact.denominator),
        ("unit", &fact.unit),
        ("standard", &fact.standard),
        ("notes", &fact.notes),
    ] {
        check_words(faults, &path.at(name), text, MAX_REMARK);
    }
    if fact.definition_version == 0 {
        faults.add(
            &path.at("definition_version"),
            "BAD_VERSION",
            "versions are numbered from 1",
        );
    }
    if !fact.successor.is_empty()
        && let Err(error) = MarkerCode::new(&fact.successor)
    {
        faults.add(&path.at("successor"), "BAD_MARKER", error.to_string());
    }
}

fn check_rule_set(faults: &mut Faults, path: &Path<'_>, fact: &wire::RuleSetPublished) {
    check_name(faults, &path.at("version"), &fact.version);
    for (index, rule) in fact.rules.iter().enumerate() {
        let digits = rule.rule_id.strip_prefix('R').unwrap_or_default();
        if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            let what = format!(
                "`{}` is not a rule: it has to be R and two digits, for example R01",
                shown(&rule.rule_id)
            );
            faults.add(&path.item("rules", index).at("rule_id"), "BAD_RULE", what);
        }
    }
}

fn quality_body(faults: &mut Faults, path: &Path<'_>, quality: &wire::QualityReturn) -> DraftBody {
    let read = |faults: &mut Faults,
                path: &Path<'_>,
                observation: &wire::Observation|
     -> Option<Observation> {
        if is_not_submitted(observation) {
            refuse_not_submitted(faults, &path.at("missing"));
        }
        // A figure that can't be read leaves a stand-in: what is wrong with its marker is to be told in the same answer. A draft with a
        // fault is never accepted, so the stand-in goes nowhere.
        returns::read_observation(faults, path, observation, stated_quantity)
            .or_else(|| stand_in(observation))
    };
    let observations = quality.observations.iter().enumerate();
    DraftBody::Quality(
        observations
            .filter_map(|(index, sent)| {
                Some((
                    index,
                    read(faults, &path.item("observations", index), sent)?,
                ))
            })
            .collect(),
    )
}

/// The observation without its figure, when its key can be read.
fn stand_in(sent: &wire::Observation) -> Option<Observation> {
    let breakdown = match sent.breakdown.as_str() {
        "" => None,
        text => Some(text.parse().ok()?),
    };
    Some(Observation {
        key: SeriesKey {
            marker: sent.marker.parse().ok()?,
            breakdown,
        },
        definition_version: sent.definition_version,
        value: Value::Missing(Missing::NotCollected),
        simulated: sent.simulated,
    })
}

fn is_not_submitted(observation: &wire::Observation) -> bool {
    let not_submitted = i32::from(wire::Missing::NotSubmitted);
    matches!(observation.value, Some(wire::observation::Value::Missing(number)) if number == not_submitted)
}

fn savings_body(faults: &mut Faults, path: &Path<'_>, savings: &wire::SavingsReturn) -> DraftBody {
    let lines = savings.lines.iter().enumerate();
    DraftBody::Savings(
        lines
            .filter_map(|(index, sent)| {
                Some((
                    index,
                    savings_line(faults, &path.item("lines", index), sent)?,
                ))
            })
            .collect(),
    )
}

fn savings_line(
    faults: &mut Faults,
    path: &Path<'_>,
    sent: &wire::SavingsLine,
) -> Option<SavingsLine> {
    let line = returns::read_line(faults, path, sent)?;
    // A plan and a forecast can stand beside a reason why delivery is not known.
    let figures = [line.actual, line.actual_ytd, line.recurrent];
    let has_figures = figures.iter().any(Option::is_some);
    match line.missing {
        Some(Missing::NotSubmitted) => refuse_not_submitted(faults, &path.at("missing")),
        Some(_) if has_figures => {
            let what = "a reason for a missing figure stands together with figures: state one or the other";
            faults.add(&path.at("missing"), "MISSING_WITH_FIGURES", what);
        }
        None if !has_figures => {
            let what = "there is neither a figure nor a reason for its absence: state one of them in `missing` or a figure";
            faults.add(path, "NO_VALUE", what);
        }
        _ => {}
    }
    Some(line)
}

fn refuse_not_submitted(faults: &mut Faults, path: &Path<'_>) {
    let what = "`not submitted` is what an answer says of something that was not sent: leave the entry out, or say why there is no figure";
    faults.add(path, "NOT_SUBMITTED_SENT", what);
}

/// A number that somebody states, within the limits of the contract.
fn stated_quantity(faults: &mut Faults, path: &Path<'_>, number: f64) -> Option<Quantity> {
    let read = Quantity::from_f64(number);
    if let Err(error) = read {
        let code = match error {
            QuantityError::NotFinite => "NOT_FINITE",
            QuantityError::Negative => "NEGATIVE",
            QuantityError::TooLarge => "TOO_LARGE",
            QuantityError::TooPrecise => "TOO_PRECISE",
        };
        faults.add(path, code, format!("{number} {error}"));
    }
    read.ok()
}

fn check_name(faults: &mut Faults, path: &Path<'_>, text: &str) {
    if text.trim().is_empty() {
        faults.add(path, "REQUIRED", "it is empty: state it");
    }
    check_words(faults, path, text, MAX_NAME);
}

/// The length of a text and its characters. Of returns and schemes the domain checks the latter.
fn check_words(faults: &mut Faults, path: &Path<'_>, text: &str, most: usize) {
    check_length(faults, path, text, most);
    if let Some(what) = control_character(text, most == MAX_REMARK) {
        faults.add(path, "CONTROL_CHARACTER", what);
    }
}

fn check_length(faults: &mut Faults, path: &Path<'_>, text: &str, most: usize) {
    let length = text.chars().count();
    if length > most {
        faults.add(
            path,
            "TOO_LONG",
            format!("has {length} characters: shorten it to at most {most}"),
        );
    }
}

fn check_count(faults: &mut Faults, path: &Path<'_>, count: usize, most: usize) {
    if count > most {
        faults.add(
            path,
            "TOO_MANY",
            format!("has {count} entries: state at most {most}"),
        );
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::observation::Value;

    fn codes(problems: &[Problem]) -> Vec<(&'static str, &str)> {
        problems
            .iter()
            .map(|p| (p.code, p.field.as_str()))
            .collect()
    }

    fn observation(marker: &str, value: Option<Value>) -> wire::Observation {
        wire::Observation {
            marker: marker.into(),
            value,
            ..Default::default()
        }
    }

    fn measured(numerator: f64, denominator: Option<f64>) -> Option<Value> {
        Some(Value::Measured(wire::Measured {
            numerator,
            denominator,
        }))
    }

    fn quality(observations: Vec<wire::Observation>) -> wire::Return {
        wire::Return {
            org_code: "RJ1".into(),
            period: "2012-03".into(),
            status: wire::ReturnStatus::Final.into(),
            body: Some(WireBody::Quality(wire::QualityReturn { observations })),
            ..Default::default()
        }
    }

    fn savings(lines: Vec<wire::SavingsLine>) -> wire::Return {
        wire::Return {
            body: Some(WireBody::Savings(wire::SavingsReturn { lines })),
            ..quality(vec![])
        }
    }

    #[test]
    fn a_good_return_has_no_problems_and_keeps_the_index_of_each_figure() {
        let not_collected = Some(Value::Missing(wire::Missing::NotCollected.into()));
        let draft = return_draft(&quality(vec![
            observation("AE_4H", measured(95.0, Some(100.0))),
            observation("NOT A MARKER", None),
            observation("CDIFF", not_collected),
        ]));
        let Some(DraftBody::Quality(read)) = draft.body else {
            panic!("a quality return")
        };
        assert_eq!(
            read.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
            [0, 2]
        );
        assert!(
            return_draft(&quality(vec![observation("AE_4H", measured(95.0, None))]))
                .problems
                .is_empty()
        );
    }

    #[test]
    fn all_faults_of_a_return_are_told_at_once() {
        let ret = wire::Return {
            org_code: "rj1".into(),
            period: "2012-3".into(),
            status: 0,
            body: None,
            idempotency_key: "k".repeat(129),
            source: "ü".repeat(201),
            narrative: "n".repeat(2001),
            ..Default::default()
        };
        let draft = return_draft(&ret);
        assert_eq!(
            codes(&draft.problems),
            [
                ("BAD_ORG_CODE", "return.org_code"),
                ("BAD_PERIOD", "return.period"),
                ("UNSPECIFIED", "return.status"),
                ("TOO_LONG", "return.idempotency_key"),
                ("TOO_LONG", "return.source"),
                ("TOO_LONG", "return.narrative"),
                ("NO_BODY", "return"),
            ]
        );
    }

    #[test]
    fn every_faulty_number_is_pointed_at() {
        let draft = return_draft(&quality(vec![
            observation("A", measured(f64::NAN, Some(-1.0))),
            observation("B", measured(2e12, Some(0.0001))),
            observation("C", None),
            observation("D", Some(Value::Missing(1))),
            observation("E", Some(Value::Missing(0))),
            wire::Observation {
                breakdown: "100".into(),
                ..observation("F", measured(1.0, None))
            },
        ]));
        let at = |index: usize, rest: &str| format!("return.quality.observations[{index}]{rest}");
        let expected = [
            ("NOT_FINITE", at(0, ".measured.numerator")),
            ("NEGATIVE", at(0, ".measured.denominator")),
            ("TOO_LARGE", at(1, ".measured.numerator")),
            ("TOO_PRECISE", at(1, ".measured.denominator")),
            ("NO_VALUE", at(2, "")),
            ("NOT_SUBMITTED_SENT", at(3, ".missing")),
            ("UNSPECIFIED", at(4, ".missing")),
            ("BAD_BREAKDOWN", at(5, ".breakdown")),
        ];
        assert_eq!(
            codes(&draft.problems),
            expected
                .each_ref()
                .map(|(code, field)| (*code, field.as_str()))
        );
    }

    #[test]
    fn a_line_states_figures_or_a_reason() {
        let line = |missing: wire::Missing, actual_pence| wire::SavingsLine {
            scheme_id: "S-1".into(),
            missing: missing.into(),
            actual_pence,
            ..Default::default()
        };
        let draft = return_draft(&savings(vec![
            line(wire::Missing::Unspecified, Some(-5)),
            line(wire::Missing::NotCollected, None),
            line(wire::Missing::NotCollected, Some(1)),
            line(wire::Missing::Unspecified, None),
            line(wire::Missing::NotSubmitted, None),
        ]));
        let expected = [
            ("MISSING_WITH_FIGURES", "return.savings.lines[2].missing"),
            ("NO_VALUE", "return.savings.lines[3]"),
            ("NOT_SUBMITTED_SENT", "return.savings.lines[4].missing"),
        ];
        assert_eq!(codes(&draft.problems), expected);
    }

    #[test]
    fn a_scheme_is_read_as_a_whole_or_not_at_all() {
        let scheme = wire::Scheme {
            org_code: "RJ1".into(),
            scheme_id: "s 1".into(),
            start: "2012".into(),
            title: "Beds".into(),
            planned_pence: vec![5],
            milestones: vec![wire::Milestone {
                kind: "party".into(),
                due: "soon".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let draft = scheme_draft(&scheme);
        assert_eq!(draft.org, OrgCode::new("RJ1").ok());
        assert!(draft.scheme.is_none());
        let parts = draft.parts.unwrap();
        assert_eq!((&*parts.title, parts.planned), ("Beds", vec![Pence(5)]));
        assert_eq!(
            codes(&draft.problems),
            [
                ("BAD_SCHEME_ID", "scheme.scheme_id"),
                ("UNSPECIFIED", "scheme.category"),
                ("BAD_PERIOD", "scheme.start"),
                ("UNKNOWN_VALUE", "scheme.milestones[0].kind"),
                ("BAD_DATE", "scheme.milestones[0].due"),
            ]
        );
    }

    #[test]
    fn a_reference_fact_is_pointed_at_by_its_place() {
        let edge = wire::EdgeRecorded {
            tree: "sha_2010".into(),
            child_code: "RJ1".into(),
            parent_code: "Q36".into(),
            valid_from: "2010-02-30".into(),
            valid_until: String::new(),
        };
        let fact = wire::ReferenceFact {
            fact: Some(Fact::EdgeRecorded(edge)),
        };
        assert_eq!(
            codes(&reference_fact(&fact, 3).unwrap_err()),
            [("BAD_DATE", "facts[3].edge_recorded.valid_from")]
        );
        let recorded = wire::OrganisationRecorded {
            org_code: "RJ1".into(),
            name: "Guy's\u{202e}".into(),
            ..Default::default()
        };
        let fact = wire::ReferenceFact {
            fact: Some(Fact::OrganisationRecorded(recorded)),
        };
        let faults = reference_fact(&fact, 0).unwrap_err();
        let hidden = ("CONTROL_CHARACTER", "facts[0].organisation_recorded.name");
        assert!(codes(&faults).contains(&hidden), "{faults:?}");
        let nothing = wire::ReferenceFact { fact: None };
        assert_eq!(
            codes(&reference_fact(&nothing, 0).unwrap_err()),
            [("REQUIRED", "facts[0].fact")]
        );
    }
}
