//! Reference data: a small made-up nation, and the real marker catalogue.
//!
//! ENG has the regions N01 (RA1, RA2, RA3) and S01 (RB1, RB2), in a tree `regions`.

use qipp_api::files;
use qipp_api::proto::events::v1::reference_fact::Fact;
use qipp_api::proto::events::v1::{
    Dataset, DeadlineSet, EdgeRecorded, ObligationSet, OrganisationRecorded, ReferenceFact,
    TreeDefined,
};

use crate::real;
use crate::sandbox::TREE;

fn fact(fact: Fact) -> ReferenceFact {
    ReferenceFact { fact: Some(fact) }
}

/// An organisation.
#[must_use]
pub fn organisation(code: &str, kind: &str) -> ReferenceFact {
    fact(Fact::OrganisationRecorded(OrganisationRecorded {
        org_code: code.to_owned(),
        name: format!("{code} (made up)"),
        kind: kind.to_owned(),
        opened: String::new(),
    }))
}

/// A tree.
#[must_use]
pub fn tree(name: &str, root: &str) -> ReferenceFact {
    fact(Fact::TreeDefined(TreeDefined {
        tree: name.to_owned(),
        title: format!("{name} (made up)"),
        root_code: root.to_owned(),
    }))
}

/// A place in a tree, from 2000 on.
#[must_use]
pub fn below(tree: &str, child: &str, parent: &str) -> ReferenceFact {
    fact(Fact::EdgeRecorded(EdgeRecorded {
        tree: tree.to_owned(),
        child_code: child.to_owned(),
        parent_code: parent.to_owned(),
        valid_from: "2000-01-01".to_owned(),
        valid_until: String::new(),
    }))
}

/// A deadline.
#[must_use]
pub fn due(dataset: Dataset, period: &str, day: &str) -> ReferenceFact {
    let deadline = DeadlineSet {
        dataset: dataset.into(),
        period: period.to_owned(),
        due: day.to_owned(),
    };
    fact(Fact::DeadlineSet(deadline))
}

/// An obligation without an end.
#[must_use]
pub fn owes(org: &str, dataset: Dataset, from: &str) -> ReferenceFact {
    fact(Fact::ObligationSet(ObligationSet {
        org_code: org.to_owned(),
        dataset: dataset.into(),
        from: from.to_owned(),
        until: String::new(),
    }))
}

/// The real marker catalogue.
#[must_use]
pub fn catalogue() -> Vec<ReferenceFact> {
    files::markers(&[
        &real::read("markers.csv"),
        &real::read("markers_supplementary.csv"),
    ])
    .unwrap()
}

/// The small made-up nation with the real catalogue.
#[must_use]
pub fn small_nation() -> Vec<ReferenceFact> {
    nation_of(&[("N01", &["RA1", "RA2", "RA3"]), ("S01", &["RB1", "RB2"])])
}

/// A nation of regions with their trusts, with the real catalogue.
#[must_use]
pub fn nation_of(regions: &[(&str, &[&str])]) -> Vec<ReferenceFact> {
    let mut facts = catalogue();
    facts.push(organisation("ENG", "nation"));
    facts.push(tree(TREE, "ENG"));
    for (region, trusts) in regions {
        facts.push(organisation(region, "region"));
        facts.push(below(TREE, region, "ENG"));
        for trust in *trusts {
            facts.push(organisation(trust, "trust"));
            facts.push(below(TREE, trust, region));
        }
    }
    facts
}
