//! Reference facts between domain and wire.

use std::collections::BTreeMap;

use qipp_domain::marker::{MarkerDefinition, QualityDomain, TriggerRole};
use qipp_domain::reference::{
    Community, Edge, Obligation, Organisation, ReferenceFact, RuleSet, RuleSetting, Succession,
};

use crate::names;
use crate::parse::{Faults, Path, date_text, period_text};
use crate::proto::events::v1 as wire;
use wire::reference_fact::Fact;

/// A reference fact for the wire.
pub(crate) fn fact_to_proto(fact: &ReferenceFact) -> wire::ReferenceFact {
    let fact = match fact {
        ReferenceFact::Organisation(organisation) => {
            Fact::OrganisationRecorded(recorded_to_proto(organisation))
        }
        ReferenceFact::Closed { org, closed } => {
            Fact::OrganisationClosed(wire::OrganisationClosed {
                org_code: org.to_string(),
                closed: closed.to_string(),
            })
        }
        ReferenceFact::Succeeded(succession) => {
            Fact::OrganisationSucceeded(succession_to_proto(succession))
        }
        ReferenceFact::Tree { tree, title, root } => Fact::TreeDefined(wire::TreeDefined {
            tree: tree.to_string(),
            title: title.clone(),
            root_code: root.to_string(),
        }),
        ReferenceFact::Edge(edge) => Fact::EdgeRecorded(edge_to_proto(edge)),
        ReferenceFact::Community(community) => {
            Fact::CommunityRecorded(community_to_proto(community))
        }
        ReferenceFact::Marker(definition) => Fact::MarkerDefined(marker_to_proto(definition)),
        ReferenceFact::Deadline {
            dataset,
            period,
            due,
        } => Fact::DeadlineSet(wire::DeadlineSet {
            dataset: names::dataset_to_proto(*dataset).into(),
            period: period.to_string(),
            due: due.to_string(),
        }),
        ReferenceFact::Obligation(obligation) => {
            Fact::ObligationSet(obligation_to_proto(obligation))
        }
        ReferenceFact::RuleSet(rule_set) => Fact::RuleSetPublished(rule_set_to_proto(rule_set)),
    };
    wire::ReferenceFact { fact: Some(fact) }
}

/// An organisation as a fact. A closing is a fact of its own and does not travel here.
fn recorded_to_proto(organisation: &Organisation) -> wire::OrganisationRecorded {
    wire::OrganisationRecorded {
        org_code: organisation.code.to_string(),
        name: organisation.name.clone(),
        kind: organisation.kind.to_string(),
        opened: date_text(organisation.opened),
    }
}

/// A succession for the wire.
#[must_use]
pub fn succession_to_proto(succession: &Succession) -> wire::OrganisationSucceeded {
    wire::OrganisationSucceeded {
        org_code: succession.org.to_string(),
        successor_code: succession.successor.to_string(),
        date: succession.date.to_string(),
    }
}

/// An edge for the wire.
#[must_use]
pub fn edge_to_proto(edge: &Edge) -> wire::EdgeRecorded {
    wire::EdgeRecorded {
        tree: edge.tree.to_string(),
        child_code: edge.child.to_string(),
        parent_code: edge.parent.to_string(),
        valid_from: edge.from.to_string(),
        valid_until: date_text(edge.until),
    }
}

/// A health community for the wire.
#[must_use]
pub fn community_to_proto(community: &Community) -> wire::CommunityRecorded {
    wire::CommunityRecorded {
        community: community.community.to_string(),
        title: community.title.clone(),
        member_codes: community.members.iter().map(ToString::to_string).collect(),
    }
}

/// A version of a marker's definition for the wire.
#[must_use]
pub fn marker_to_proto(definition: &MarkerDefinition) -> wire::MarkerDefined {
    wire::MarkerDefined {
        marker: definition.marker.to_string(),
        definition_version: definition.version,
        name: definition.name.clone(),
        domain: definition.domain.name().to_owned(),
        numerator: definition.numerator.clone(),
        denominator: definition.denominator.clone(),
        unit: definition.unit.clone(),
        polarity: names::polarity_to_proto(definition.polarity).into(),
        roll_up: names::roll_up_to_proto(definition.roll_up).into(),
        trigger_role: definition.role.name().to_owned(),
        valid_from: period_text(definition.valid_from),
        valid_until: period_text(definition.valid_until),
        successor: definition.successor.clone(),
        standard: definition.standard.clone(),
        publication_lag_days: definition.publication_lag_days,
        notes: definition.notes.clone(),
        proportion: definition.proportion,
    }
}

/// An obligation for the wire.
#[must_use]
pub fn obligation_to_proto(obligation: &Obligation) -> wire::ObligationSet {
    wire::ObligationSet {
        org_code: obligation.org.to_string(),
        dataset: names::dataset_to_proto(obligation.dataset).into(),
        from: obligation.from.to_string(),
        until: period_text(obligation.until),
    }
}

/// A rule set for the wire, rules in order of their identifier.
#[must_use]
pub fn rule_set_to_proto(rule_set: &RuleSet) -> wire::RuleSetPublished {
    let setting = |(rule, setting): (&String, &RuleSetting)| wire::RuleSetting {
        rule_id: rule.clone(),
        enabled: setting.enabled,
        parameters: setting.parameters.clone(),
    };
    wire::RuleSetPublished {
        version: rule_set.version.clone(),
        rules: rule_set.rules.iter().map(setting).collect(),
    }
}

/// A reference fact of the wire. Pointers go on from `path` with the name of the fact.
pub(crate) fn read_fact(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::ReferenceFact,
) -> Option<ReferenceFact> {
    match faults.required(&path.at("fact"), fact.fact.as_ref())? {
        Fact::OrganisationRecorded(fact) => {
            read_organisation(faults, &path.at("organisation_recorded"), fact)
        }
        Fact::OrganisationClosed(fact) => {
            read_closed(faults, &path.at("organisation_closed"), fact)
        }
        Fact::OrganisationSucceeded(fact) => {
            read_succession(faults, &path.at("organisation_succeeded"), fact)
        }
        Fact::TreeDefined(fact) => read_tree(faults, &path.at("tree_defined"), fact),
        Fact::EdgeRecorded(fact) => read_edge(faults, &path.at("edge_recorded"), fact),
        Fact::CommunityRecorded(fact) => {
            read_community(faults, &path.at("community_recorded"), fact)
        }
        Fact::MarkerDefined(fact) => read_marker(faults, &path.at("marker_defined"), fact),
        Fact::DeadlineSet(fact) => read_deadline(faults, &path.at("deadline_set"), fact),
        Fact::ObligationSet(fact) => read_obligation(faults, &path.at("obligation_set"), fact),
        Fact::RuleSetPublished(fact) => read_rule_set(faults, &path.at("rule_set_published"), fact),
    }
}

// In each reader every field is read before the first `?`, so that all faults are found.

fn read_organisation(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::OrganisationRecorded,
) -> Option<ReferenceFact> {
    let code = faults.org(&path.at("org_code"), &fact.org_code);
    let kind = faults.slug(&path.at("kind"), &fact.kind);
    let opened = faults.optional_date(&path.at("opened"), &fact.opened);
    let (code, kind, opened) = (code?, kind?, opened?);
    Some(ReferenceFact::Organisation(Organisation {
        code,
        name: fact.name.clone(),
        kind,
        opened,
        closed: None,
    }))
}

fn read_closed(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::OrganisationClosed,
) -> Option<ReferenceFact> {
    let org = faults.org(&path.at("org_code"), &fact.org_code);
    let closed = faults.date(&path.at("closed"), &fact.closed);
    Some(ReferenceFact::Closed {
        org: org?,
        closed: closed?,
    })
}

fn read_succession(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::OrganisationSucceeded,
) -> Option<ReferenceFact> {
    let org = faults.org(&path.at("org_code"), &fact.org_code);
    let successor = faults.org(&path.at("successor_code"), &fact.successor_code);
    let date = faults.date(&path.at("date"), &fact.date);
    Some(ReferenceFact::Succeeded(Succession {
        org: org?,
        successor: successor?,
        date: date?,
    }))
}

fn read_tree(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::TreeDefined,
) -> Option<ReferenceFact> {
    let tree = faults.slug(&path.at("tree"), &fact.tree);
    let root = faults.org(&path.at("root_code"), &fact.root_code);
    Some(ReferenceFact::Tree {
        tree: tree?,
        title: fact.title.clone(),
        root: root?,
    })
}

fn read_edge(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::EdgeRecorded,
) -> Option<ReferenceFact> {
    let tree = faults.slug(&path.at("tree"), &fact.tree);
    let child = faults.org(&path.at("child_code"), &fact.child_code);
    let parent = faults.org(&path.at("parent_code"), &fact.parent_code);
    let from = faults.date(&path.at("valid_from"), &fact.valid_from);
    let until = faults.optional_date(&path.at("valid_until"), &fact.valid_until);
    Some(ReferenceFact::Edge(Edge {
        tree: tree?,
        child: child?,
        parent: parent?,
        from: from?,
        until: until?,
    }))
}

fn read_community(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::CommunityRecorded,
) -> Option<ReferenceFact> {
    let community = faults.slug(&path.at("community"), &fact.community);
    let members = faults.list(
        path,
        "member_codes",
        &fact.member_codes,
        |faults, path, code| faults.org(path, code),
    );
    let (community, members) = (community?, members?);
    Some(ReferenceFact::Community(Community {
        community,
        title: fact.title.clone(),
        members,
    }))
}

fn read_marker(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::MarkerDefined,
) -> Option<ReferenceFact> {
    let domains = QualityDomain::NAMES.map(|(_, name)| name);
    let roles = TriggerRole::NAMES.map(|(_, name)| name);
    let marker = faults.marker(&path.at("marker"), &fact.marker);
    let domain = QualityDomain::from_name(&fact.domain);
    let domain = faults.named(&path.at("domain"), &fact.domain, domain, &domains);
    let polarity = faults.choice(
        &path.at("polarity"),
        fact.polarity,
        names::polarity_from_proto,
    );
    let roll_up = faults.choice(&path.at("roll_up"), fact.roll_up, names::roll_up_from_proto);
    let role = TriggerRole::from_name(&fact.trigger_role);
    let role = faults.named(&path.at("trigger_role"), &fact.trigger_role, role, &roles);
    let valid_from = faults.optional_period(&path.at("valid_from"), &fact.valid_from);
    let valid_until = faults.optional_period(&path.at("valid_until"), &fact.valid_until);
    Some(ReferenceFact::Marker(MarkerDefinition {
        marker: marker?,
        version: fact.definition_version,
        name: fact.name.clone(),
        domain: domain?,
        numerator: fact.numerator.clone(),
        denominator: fact.denominator.clone(),
        unit: fact.unit.clone(),
        polarity: polarity?,
        roll_up: roll_up?,
        role: role?,
        proportion: fact.proportion,
        valid_from: valid_from?,
        valid_until: valid_until?,
        successor: fact.successor.clone(),
        standard: fact.standard.clone(),
        publication_lag_days: fact.publication_lag_days,
        notes: fact.notes.clone(),
    }))
}

fn read_deadline(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::DeadlineSet,
) -> Option<ReferenceFact> {
    let dataset = faults.choice(&path.at("dataset"), fact.dataset, names::dataset_from_proto);
    let period = faults.period(&path.at("period"), &fact.period);
    let due = faults.date(&path.at("due"), &fact.due);
    Some(ReferenceFact::Deadline {
        dataset: dataset?,
        period: period?,
        due: due?,
    })
}

fn read_obligation(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::ObligationSet,
) -> Option<ReferenceFact> {
    let org = faults.org(&path.at("org_code"), &fact.org_code);
    let dataset = faults.choice(&path.at("dataset"), fact.dataset, names::dataset_from_proto);
    let from = faults.period(&path.at("from"), &fact.from);
    let until = faults.optional_period(&path.at("until"), &fact.until);
    Some(ReferenceFact::Obligation(Obligation {
        org: org?,
        dataset: dataset?,
        from: from?,
        until: until?,
    }))
}

fn read_rule_set(
    faults: &mut Faults,
    path: &Path<'_>,
    fact: &wire::RuleSetPublished,
) -> Option<ReferenceFact> {
    let mut rules = BTreeMap::new();
    for (index, rule) in fact.rules.iter().enumerate() {
        let path = path.item("rules", index);
        for (name, number) in &rule.parameters {
            faults.finite(&path.at("parameters").at(name), *number);
        }
        let setting = RuleSetting {
            enabled: rule.enabled,
            parameters: rule.parameters.clone(),
        };
        if rules.insert(rule.rule_id.clone(), setting).is_some() {
            let what = format!("{} is set twice: set each rule once", rule.rule_id);
            faults.add(&path.at("rule_id"), "DUPLICATE_RULE", what);
        }
    }
    Some(ReferenceFact::RuleSet(RuleSet {
        version: fact.version.clone(),
        rules,
    }))
}
