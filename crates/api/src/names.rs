//! Enumerations in both directions: the domain's values and the contract's. The only place that pairs them.
//!
//! From the wire, "unspecified" is `None`; what to say about that is the reader's business.

use qipp_domain::Dataset;
use qipp_domain::alert::{Act, Condition, Direction, Severity, Stage, Transition};
use qipp_domain::marker::{Polarity, RollUp};
use qipp_domain::returns::{Missing, Status};
use qipp_domain::scheme::{MilestoneKind, SchemeCategory};

use crate::proto::alerts::v1 as alerts;
use crate::proto::events::v1 as wire;

/// Defines `to` and `from` of one enumeration out of one list of pairs, so that the two directions cannot differ.
macro_rules! pairs {
    ($to:ident, $from:ident, $domain:ident, $wire:path, $unspecified:ident, [$($name:ident),+ $(,)?]) => {
        #[doc = concat!("`", stringify!($domain), "` for the wire.")]
        #[must_use]
        pub const fn $to(value: $domain) -> $wire {
            use $wire as Wire;
            match value { $($domain::$name => Wire::$name),+ }
        }

        #[doc = concat!("`", stringify!($domain), "` of the wire; `None` is unspecified.")]
        #[must_use]
        pub const fn $from(value: $wire) -> Option<$domain> {
            use $wire as Wire;
            match value { Wire::$unspecified => None, $(Wire::$name => Some($domain::$name)),+ }
        }
    };
}

pairs!(
    dataset_to_proto,
    dataset_from_proto,
    Dataset,
    wire::Dataset,
    Unspecified,
    [Savings, Quality]
);
pairs!(
    status_to_proto,
    status_from_proto,
    Status,
    wire::ReturnStatus,
    Unspecified,
    [Provisional, Final, Restated]
);
pairs!(
    missing_to_proto,
    missing_from_proto,
    Missing,
    wire::Missing,
    Unspecified,
    [
        NotSubmitted,
        NotCollected,
        NotApplicable,
        WithheldForQuality,
        Suppressed
    ]
);
pairs!(
    polarity_to_proto,
    polarity_from_proto,
    Polarity,
    wire::Polarity,
    Unspecified,
    [HigherIsBetter, LowerIsBetter, Neutral]
);
pairs!(
    roll_up_to_proto,
    roll_up_from_proto,
    RollUp,
    wire::RollUp,
    Unspecified,
    [Parts, Sum, None]
);
pairs!(
    severity_to_proto,
    severity_from_proto,
    Severity,
    wire::Severity,
    Unspecified,
    [Info, Amber, Red]
);
pairs!(
    transition_to_proto,
    transition_from_proto,
    Transition,
    wire::Transition,
    Unspecified,
    [Raised, Updated, Cleared, Withdrawn, Suppressed]
);
pairs!(
    act_to_proto,
    act_from_proto,
    Act,
    wire::Act,
    Unspecified,
    [Acknowledge, Ask, Answer, Confirm, Refute, Close]
);
pairs!(
    condition_to_proto,
    condition_from_proto,
    Condition,
    alerts::Condition,
    Unspecified,
    [Holds, Cleared, Withdrawn, Suppressed]
);
pairs!(
    stage_to_proto,
    stage_from_proto,
    Stage,
    alerts::Stage,
    Unspecified,
    [
        Raised,
        Acknowledged,
        Asked,
        Explained,
        Confirmed,
        Refuted,
        Closed
    ]
);
pairs!(
    category_to_proto,
    category_from_proto,
    SchemeCategory,
    wire::SchemeCategory,
    Unspecified,
    [
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
    ]
);

/// Kinds of milestones with their names.
pub const MILESTONE_KINDS: [(MilestoneKind, &str); 4] = [
    (MilestoneKind::Clinical, "clinical"),
    (MilestoneKind::Operational, "operational"),
    (MilestoneKind::Workforce, "workforce"),
    (MilestoneKind::Financial, "financial"),
];

/// The name of a kind of milestone.
#[must_use]
pub fn milestone_kind_name(kind: MilestoneKind) -> &'static str {
    MILESTONE_KINDS
        .iter()
        .find(|(held, _)| *held == kind)
        .map_or("", |(_, name)| name)
}

/// The kind of milestone of that name.
#[must_use]
pub fn milestone_kind_from_name(name: &str) -> Option<MilestoneKind> {
    MILESTONE_KINDS
        .iter()
        .find(|(_, held)| *held == name)
        .map(|(kind, _)| *kind)
}

/// The name of a direction.
#[must_use]
pub const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Slipping => "slipping",
        Direction::Improving => "improving",
    }
}

/// The direction of that name.
#[must_use]
pub fn direction_from_name(name: &str) -> Option<Direction> {
    [Direction::Slipping, Direction::Improving]
        .into_iter()
        .find(|direction| direction_name(*direction) == name)
}

/// The outcome of a conversation as the contract names it: `confirmed`, `refuted` or empty.
#[must_use]
pub const fn outcome_name(outcome: Option<Act>) -> &'static str {
    match outcome {
        Some(Act::Confirm) => "confirmed",
        Some(Act::Refute) => "refuted",
        _ => "",
    }
}
