//! What a request names has to exist. An unknown name would be answered with nothing, and a typing error read as good news.
//!
//! Held against the reference data of now: what is known today and was not at the moment that is read is no typing error.

use std::collections::BTreeSet;
use std::fmt::Display;

use qipp_api::error::{ApiError, Code};
use qipp_domain::reference::Reference;
use qipp_domain::validate::Problem;
use qipp_domain::{MarkerCode, OrgCode, Slug};

/// So many names are listed; of more, a few.
const WHOLE: usize = 15;
const FEW: usize = 3;

/// Refuses a request that has any of the faults.
///
/// # Errors
/// INVALID_ARGUMENT with all of them.
pub fn all_known(faults: impl IntoIterator<Item = Option<Problem>>) -> Result<(), ApiError> {
    let faults: Vec<Problem> = faults.into_iter().flatten().collect();
    match faults.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid(faults)),
    }
}

/// The fault of a name that is none of those that there are, if it is none.
pub fn among<T: PartialEq + Display>(
    known: impl IntoIterator<Item = T>,
    name: &T,
    (code, what, field): (&'static str, &str, &str),
) -> Option<Problem> {
    let known: Vec<T> = known.into_iter().collect();
    let is_known = known.contains(name);
    (!is_known).then(|| {
        let given: String = name.to_string().chars().take(40).collect();
        let what = format!("there is no {what} `{given}`; {}", those(&known));
        Problem::new(code, field, what)
    })
}

/// Which there are.
fn those(known: &[impl Display]) -> String {
    let shown = if known.len() <= WHOLE { WHOLE } else { FEW };
    let names: Vec<String> = known.iter().take(shown).map(ToString::to_string).collect();
    let names = names.join(", ");
    match known.len() {
        0 => "none is registered yet".to_owned(),
        all if all <= WHOLE => format!("there are: {names}"),
        all => format!("there are {all}, for example {names}"),
    }
}

/// An organisation (`UNKNOWN_ORGANISATION`).
#[must_use]
pub fn organisation(reference: &Reference, code: OrgCode, field: &str) -> Option<Problem> {
    let known = reference.organisation(code).is_some();
    let codes = reference.organisations().map(|held| held.code);
    let told = ("UNKNOWN_ORGANISATION", "organisation", field);
    (!known).then(|| among(codes, &code, told)).flatten()
}

/// A tree (`UNKNOWN_TREE`).
#[must_use]
pub fn tree(reference: &Reference, name: Slug, field: &str) -> Option<Problem> {
    let names = reference.trees().map(|held| held.tree);
    among(names, &name, ("UNKNOWN_TREE", "tree", field))
}

/// That there is no tree of that name, where an address names it.
#[must_use]
pub fn no_tree(reference: &Reference, name: Slug) -> ApiError {
    let what = tree(reference, name, "tree").map(|fault| format!("tree: {}", fault.description));
    ApiError::new(Code::NotFound, "UNKNOWN_TREE", what.unwrap_or_default())
}

/// A node of a tree (`UNKNOWN_NODE`): something that stands there, or stood there once. Nothing where there is no such tree.
#[must_use]
pub fn node(reference: &Reference, name: Slug, code: OrgCode, field: &str) -> Option<Problem> {
    let tree = reference.tree(name)?;
    let above = tree.members().flat_map(|member| tree.edges_of(member));
    let mut nodes: BTreeSet<OrgCode> = above.map(|edge| edge.parent).collect();
    nodes.insert(tree.root);
    if tree.members().any(|member| member == code) {
        return None;
    }
    let what = format!("node of tree `{name}` named");
    among(nodes, &code, ("UNKNOWN_NODE", &what, field))
}

/// A kind of organisations, which are each other's peers (`UNKNOWN_KIND`).
#[must_use]
pub fn kind(reference: &Reference, name: Slug, field: &str) -> Option<Problem> {
    let kinds: BTreeSet<Slug> = reference.organisations().map(|held| held.kind).collect();
    among(
        kinds,
        &name,
        ("UNKNOWN_KIND", "kind of organisations", field),
    )
}

/// A marker (`UNKNOWN_MARKER`).
#[must_use]
pub fn marker(reference: &Reference, code: MarkerCode, field: &str) -> Option<Problem> {
    let codes: BTreeSet<MarkerCode> = reference.markers().map(|held| held.marker).collect();
    among(codes, &code, ("UNKNOWN_MARKER", "marker", field))
}

#[cfg(test)]
mod tests {
    use qipp_domain::reference::{Organisation, ReferenceFact};

    use super::*;

    fn nation(organisations: usize) -> Reference {
        let mut reference = Reference::default();
        for number in 0..organisations {
            reference.apply(&ReferenceFact::Organisation(Organisation {
                code: format!("R{number:02}").parse().unwrap(),
                name: String::new(),
                kind: "trust".parse().unwrap(),
                opened: None,
                closed: None,
            }));
        }
        reference
    }

    #[test]
    fn an_unknown_name_is_told_with_its_field_and_with_those_that_there_are() {
        let told = |many| {
            let fault = organisation(&nation(many), "ZZZ".parse().unwrap(), "org_code");
            let fault = fault.unwrap();
            assert_eq!(
                (fault.code, &*fault.field),
                ("UNKNOWN_ORGANISATION", "org_code")
            );
            fault.description
        };
        assert_eq!(
            told(0),
            "there is no organisation `ZZZ`; none is registered yet"
        );
        assert_eq!(
            told(2),
            "there is no organisation `ZZZ`; there are: R00, R01"
        );
        assert_eq!(
            told(20),
            "there is no organisation `ZZZ`; there are 20, for example R00, R01, R02"
        );
        let known = nation(2);
        assert_eq!(
            organisation(&known, "R01".parse().unwrap(), "org_code"),
            None
        );
        assert_eq!(kind(&known, "trust".parse().unwrap(), "kind"), None);
        let faults = [
            kind(&known, "trst".parse().unwrap(), "kind"),
            tree(&known, "nope".parse().unwrap(), "tree"),
        ];
        let error = all_known(faults).unwrap_err();
        let fields: Vec<&str> = error.problems.iter().map(|p| &*p.field).collect();
        assert_eq!(fields, ["kind", "tree"]);
        assert!(all_known([None]).is_ok());
    }
}
