//! A small made-up nation that everything is held against: the real catalogue, and on 1 June 2011 some organisations of which one is closed.

use std::sync::LazyLock;

use jiff::civil::Date;
use qipp_api::draft::{reference_fact, scheme_draft};
use qipp_api::files;
use qipp_api::proto::events::v1::reference_fact::Fact;
use qipp_api::proto::events::v1::{
    EdgeRecorded, OrganisationClosed, OrganisationRecorded, ReferenceFact, Scheme, SchemeCategory,
    TreeDefined,
};
use qipp_domain::Stamp;
use qipp_domain::nation::{Facts, Nation, ReturnFact};

/// The month of [`today`].
pub(crate) const THIS_MONTH: &str = "2011-06";

/// The day that counts as today.
pub(crate) fn today() -> Date {
    Date::constant(2011, 6, 1)
}

/// The nation.
pub(crate) fn nation() -> &'static Nation {
    static NATION: LazyLock<Nation> = LazyLock::new(build);
    &NATION
}

/// The stamp of the record that comes next.
pub(crate) fn next() -> Stamp {
    Stamp {
        lane: 1 << 16,
        offset: 1_000,
        time_ms: 1_306_918_800_000,
    }
}

fn build() -> Nation {
    let markers = files::markers(&[include_bytes!("../../../data/markers.csv").as_slice()]);
    let mut facts = markers.expect("the catalogue is sound");
    for (code, kind) in [
        ("ENG", "nation"),
        ("N01", "region"),
        ("RA1", "trust"),
        ("RA2", "trust"),
        ("RA9", "trust"),
    ] {
        facts.push(fact(Fact::OrganisationRecorded(OrganisationRecorded {
            org_code: code.into(),
            name: format!("{code} (made up)"),
            kind: kind.into(),
            opened: String::new(),
        })));
    }
    facts.push(fact(Fact::OrganisationClosed(OrganisationClosed {
        org_code: "RA9".into(),
        closed: "2011-01-01".into(),
    })));
    facts.push(fact(Fact::TreeDefined(TreeDefined {
        tree: "regions".into(),
        title: "Regions".into(),
        root_code: "ENG".into(),
    })));
    for (child, parent) in [("N01", "ENG"), ("RA1", "N01"), ("RA2", "N01")] {
        facts.push(fact(Fact::EdgeRecorded(EdgeRecorded {
            tree: "regions".into(),
            child_code: child.into(),
            parent_code: parent.into(),
            valid_from: "2000-01-01".into(),
            valid_until: String::new(),
        })));
    }
    let read = facts.iter().enumerate();
    let read = read.map(|(index, fact)| reference_fact(fact, index).expect("sound"));
    let mut nation = Nation::default();
    let stamp = |lane| Stamp {
        lane,
        offset: 0,
        time_ms: 0,
    };
    nation.apply(stamp(0), "world", Facts::Reference(read.collect()));
    let scheme = scheme_draft(&Scheme {
        org_code: "RA1".into(),
        scheme_id: "S-1".into(),
        title: "Night theatres".into(),
        category: SchemeCategory::Estates.into(),
        start: "2011-04".into(),
        planned_pence: vec![1_000; 12],
        full_year_effect_pence: 12_000,
        ..Scheme::default()
    });
    let scheme = ReturnFact::Scheme {
        scheme: scheme.scheme.expect("sound"),
        precondition: scheme.precondition,
    };
    nation.apply(stamp(1 << 16), "world", Facts::Returns(vec![scheme]));
    nation
}

fn fact(fact: Fact) -> ReferenceFact {
    ReferenceFact { fact: Some(fact) }
}
