//! A funnel as the columns of the study of FunnelPlotR: the `expected` of a funnel record.

use serde::{Serialize, Serializer};

use crate::funnel::{Funnel, Group};

/// A number that may be infinite, which JSON has no number for.
#[derive(Clone, Copy, Debug)]
struct Cell(f64);

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == f64::INFINITY {
            serializer.serialize_str("inf")
        } else if self.0 == f64::NEG_INFINITY {
            serializer.serialize_str("-inf")
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// The funnel as columns, in the order of the record.
#[derive(Debug, Serialize)]
pub(super) struct Columns<'a> {
    target: Cell,
    target_transformed: Cell,
    phi: Cell,
    tau2: Cell,
    adjusted_used: bool,
    unadjusted_used: bool,
    group: Vec<&'a str>,
    numerator: Vec<Cell>,
    denominator: Vec<Cell>,
    ratio: Vec<Cell>,
    y_transformed: Vec<Cell>,
    z_unadjusted: Vec<Cell>,
    trimmed: Vec<bool>,
    z_trimmed: Vec<Option<Cell>>,
    lcl95: Vec<Cell>,
    ucl95: Vec<Cell>,
    lcl998: Vec<Cell>,
    ucl998: Vec<Cell>,
    od_lcl95: Vec<Cell>,
    od_ucl95: Vec<Cell>,
    od_lcl998: Vec<Cell>,
    od_ucl998: Vec<Cell>,
    outlier: Vec<bool>,
}

impl<'a> From<&'a Funnel> for Columns<'a> {
    fn from(funnel: &'a Funnel) -> Self {
        let groups = &funnel.groups;
        let column =
            |cell: fn(&Group) -> f64| groups.iter().map(|group| Cell(cell(group))).collect();
        Self {
            target: Cell(funnel.target),
            target_transformed: Cell(funnel.target_transformed),
            phi: Cell(funnel.phi),
            tau2: Cell(funnel.tau2),
            adjusted_used: funnel.adjusted_used,
            unadjusted_used: funnel.unadjusted_used,
            group: groups.iter().map(|group| group.name.as_str()).collect(),
            numerator: column(|group| group.numerator),
            denominator: column(|group| group.denominator),
            ratio: column(|group| group.ratio),
            y_transformed: column(|group| group.y),
            z_unadjusted: column(|group| group.z),
            trimmed: groups.iter().map(|group| group.trimmed).collect(),
            z_trimmed: groups
                .iter()
                .map(|group| group.z_trimmed.map(Cell))
                .collect(),
            lcl95: column(|group| group.limits.lower95),
            ucl95: column(|group| group.limits.upper95),
            lcl998: column(|group| group.limits.lower998),
            ucl998: column(|group| group.limits.upper998),
            od_lcl95: column(|group| group.adjusted.lower95),
            od_ucl95: column(|group| group.adjusted.upper95),
            od_lcl998: column(|group| group.adjusted.lower998),
            od_ucl998: column(|group| group.adjusted.upper998),
            outlier: groups.iter().map(|group| group.outlier).collect(),
        }
    }
}
