//! Schemes: what is changed to save money, what it could harm, and who has signed for that.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{MarkerCode, OrgCode, Pence, Period, SchemeId};

/// What kind of change a scheme declares itself to be. The declaration is stored and never overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the names are the field's own; domain report section 3"
)]
pub enum SchemeCategory {
    PathwayRedesign,
    CareShiftOutOfHospital,
    Prevention,
    ClinicalProductivity,
    MedicinesValue,
    Procurement,
    BackOfficeManagement,
    Estates,
    DemandManagement,
    WorkforceRedesign,
    WorkforceReduction,
    VacancyHold,
    BudgetReduction,
    IncomeGeneration,
    TechnicalAccounting,
    NationalPay,
    NationalTariff,
}

impl SchemeCategory {
    /// Driven by national decisions (pay, tariff) and so left out of "savings rising" (R01).
    #[must_use]
    pub fn is_national(self) -> bool {
        matches!(self, Self::NationalPay | Self::NationalTariff)
    }

    /// Left out of "savings rising": national items and technical true-ups (R01).
    #[must_use]
    pub fn is_outside_r01(self) -> bool {
        self.is_national() || self == Self::TechnicalAccounting
    }

    /// The categories that can be genuine by R20.
    #[must_use]
    pub fn is_redesign(self) -> bool {
        matches!(
            self,
            Self::PathwayRedesign
                | Self::CareShiftOutOfHospital
                | Self::Prevention
                | Self::ClinicalProductivity
                | Self::MedicinesValue
                | Self::Procurement
                | Self::BackOfficeManagement
                | Self::WorkforceRedesign
        )
    }
}

/// A marker that a scheme declares in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedMarker {
    /// The marker.
    pub marker: MarkerCode,
    /// It guards against harm; otherwise it is the aim.
    pub balancing: bool,
}

/// Kind of a milestone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the names are the field's own; domain report section 3"
)]
pub enum MilestoneKind {
    Clinical,
    Operational,
    Workforce,
    Financial,
}

/// Something that has to happen for a scheme to work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Milestone {
    /// What.
    pub title: String,
    /// Kind.
    pub kind: MilestoneKind,
    /// By when.
    pub due: Date,
    /// When it was done.
    pub done: Option<Date>,
}

/// A scheme of an organisation. An amendment replaces the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheme {
    /// Owner.
    pub org: OrgCode,
    /// Identifier within the owner.
    pub id: SchemeId,
    /// What people call it.
    pub title: String,
    /// Declared category.
    pub category: SchemeCategory,
    /// First month of the plan.
    pub start: Period,
    /// Planned savings by month from `start` on.
    pub planned: Vec<Pence>,
    /// Full-year effect.
    pub full_year_effect: Pence,
    /// Recurs in following years.
    pub recurrent: bool,
    /// What it saves is pay.
    pub pay: bool,
    /// Markers declared in advance.
    pub linked_markers: Vec<LinkedMarker>,
    /// Named clinical lead; empty: nobody.
    pub clinical_lead: String,
    /// When the medical director signed the quality impact assessment.
    pub qia_medical_director: Option<Date>,
    /// When the nursing director signed it.
    pub qia_nursing_director: Option<Date>,
    /// Milestones.
    pub milestones: Vec<Milestone>,
    /// First period in which it is no longer live.
    pub ended: Option<Period>,
    /// The figures are simulated.
    pub simulated: bool,
}

/// Which of the conditions of a scheme of quality hold (R20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// A category that can be a redesign.
    pub category_is_redesign: bool,
    /// At least one marker declared.
    pub has_linked_marker: bool,
    /// A clinician is named.
    pub has_clinical_lead: bool,
    /// Medical and nursing director have both signed.
    pub qia_signed_by_both: bool,
    /// At least one milestone that is not financial.
    pub has_non_financial_milestone: bool,
}

impl Standing {
    /// All conditions hold.
    #[must_use]
    pub fn is_genuine(self) -> bool {
        self.category_is_redesign
            && self.has_linked_marker
            && self.has_clinical_lead
            && self.qia_signed_by_both
            && self.has_non_financial_milestone
    }
}

impl Scheme {
    /// Planned for the month; `None` outside the plan's months.
    #[must_use]
    pub fn planned_in(&self, period: Period) -> Option<Pence> {
        let index = usize::try_from(period.months_since(self.start)).ok()?;
        self.planned.get(index).copied()
    }

    /// Is the scheme live in the month: begun, and not ended?
    #[must_use]
    pub fn is_live_in(&self, period: Period) -> bool {
        self.start <= period && self.ended.is_none_or(|ended| period < ended)
    }

    /// The standing of the scheme.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing {
            category_is_redesign: self.category.is_redesign(),
            has_linked_marker: !self.linked_markers.is_empty(),
            has_clinical_lead: !self.clinical_lead.trim().is_empty(),
            qia_signed_by_both: self.qia_medical_director.is_some()
                && self.qia_nursing_director.is_some(),
            has_non_financial_milestone: self
                .milestones
                .iter()
                .any(|m| m.kind != MilestoneKind::Financial),
        }
    }
}
