//! Named readings of the XmR method. Making Data Count is not one algorithm: its tools differ in limits, rules and
//! precedence, so every chart carries the name of the one that drew it.

use std::fmt;

use crate::xmr::MissingInTrend;

/// One exact reading of the XmR method.
///
/// To add one: add the variant, its name, and its `Rules`. Where it differs in kind and not in a constant (which points
/// count in two-of-three, which label wins), the difference is an enum field of `Rules`, so that the engine has one
/// place per rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// The R package NHSRplotthedots, version 0.2.2, as it behaves when run (not as its vignette describes it).
    #[default]
    Nhsr022,
    /// The Making Data Count workbook "Single Chart" since 2024, with trends and shifts of 7 points.
    ///
    /// *Unverified*: read from what its makers say of it, since the workbook itself could not be run. Moving ranges are
    /// never screened. Every point beyond a near limit counts for two-in-three, also beyond the process limit. Where one
    /// rule says improvement and another says concern, improvement wins. Limits, special causes and icons are given from
    /// 13 points on. A target on a limit is beyond it.
    ///
    /// What its makers do not say was decided here: the 13 are points with a value, counted in each segment; a target on
    /// the lower limit is treated as one on the upper; limits of no width on the target itself pass; with no direction
    /// wanted the label of `nhsr_0_2_2`'s precedence is kept; a missing value breaks a trend; any baseline of two rows or
    /// more may be fixed.
    MdcExcel2024,
    /// [`Self::MdcExcel2024`] with trends and shifts of 6 points, the workbook's other choice.
    MdcExcel2024Run6,
}

impl Profile {
    /// Every profile, in the order of their introduction.
    pub const ALL: &'static [Self] = &[Self::Nhsr022, Self::MdcExcel2024, Self::MdcExcel2024Run6];

    /// The stable name printed on charts and stored with them.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nhsr022 => "nhsr_0_2_2",
            Self::MdcExcel2024 => "mdc_excel_2024",
            Self::MdcExcel2024Run6 => "mdc_excel_2024_run6",
        }
    }

    /// The profile of that exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|profile| profile.name() == name)
    }

    /// How many points make a trend or a shift.
    pub const fn run_points(self) -> usize {
        match self {
            Self::Nhsr022 | Self::MdcExcel2024 => 7,
            Self::MdcExcel2024Run6 => 6,
        }
    }

    /// The reading that differs from this one in the length of runs only, if there is one.
    pub fn with_run_points(self, points: usize) -> Option<Self> {
        match (self, points) {
            (Self::MdcExcel2024 | Self::MdcExcel2024Run6, 6) => Some(Self::MdcExcel2024Run6),
            (Self::MdcExcel2024 | Self::MdcExcel2024Run6, 7) => Some(Self::MdcExcel2024),
            _ => (points == self.run_points()).then_some(self),
        }
    }

    pub(crate) const fn rules(self) -> Rules {
        let nhsr = Rules {
            limit_multiplier: 2.66,
            near_limit_multiplier: 2.0 * (2.66 / 3.0),
            screen_multiplier: 3.267,
            screening: Screening::UnlessDeclined,
            run_points: self.run_points(),
            two_in_three: TwoInThree::BetweenLimits,
            precedence: Precedence::StrongestRule,
            judged_from: 0,
            short_below: 13,
            fix_at_least: 12,
            target_on_limit: TargetOnLimit::Within,
            missing_in_trend: MissingInTrend::Refuse,
        };
        match self {
            Self::Nhsr022 => nhsr,
            Self::MdcExcel2024 | Self::MdcExcel2024Run6 => Rules {
                screening: Screening::Never,
                two_in_three: TwoInThree::BeyondNearLimit,
                precedence: Precedence::ImprovementWins,
                judged_from: 13,
                fix_at_least: 2,
                target_on_limit: TargetOnLimit::Beyond,
                missing_in_trend: MissingInTrend::Breaks,
                ..nhsr
            },
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a profile fixes. Multipliers are of the average moving range, lengths are in points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Process limits: mean ± this × average moving range (3 / d2 with d2 = 1.128 for pairs, rounded as published).
    pub(crate) limit_multiplier: f64,
    /// Near limits, two thirds of the way to the process limits.
    pub(crate) near_limit_multiplier: f64,
    /// Moving ranges at or beyond this × their average are left out of it when screening (D4 for pairs).
    pub(crate) screen_multiplier: f64,
    pub(crate) screening: Screening,
    /// A trend is this many points, each strictly beyond the last in one direction; a shift this many strictly on one side
    /// of the mean.
    pub(crate) run_points: usize,
    pub(crate) two_in_three: TwoInThree,
    pub(crate) precedence: Precedence,
    /// Segments with fewer values have no limits, no special causes and no icons.
    pub(crate) judged_from: usize,
    /// Segments of fewer rows carry the short-series warning.
    pub(crate) short_below: usize,
    /// The shortest baseline that may be fixed.
    pub(crate) fix_at_least: usize,
    pub(crate) target_on_limit: TargetOnLimit,
    /// What a missing value does to a possible trend, unless the options say.
    pub(crate) missing_in_trend: MissingInTrend,
}

/// Whether moving ranges are screened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screening {
    UnlessDeclined,
    Never,
}

/// Which points count as two in three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TwoInThree {
    /// Beyond the near limit and within the process limit.
    BetweenLimits,
    /// Beyond the near limit, however far.
    BeyondNearLimit,
}

/// Which label is left where several rules fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precedence {
    /// Limits before trend before two-in-three before shift.
    StrongestRule,
    /// The strongest rule that means improvement; if none does, the strongest rule.
    ImprovementWins,
}

/// What a target exactly on a limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetOnLimit {
    Within,
    Beyond,
}

#[cfg(test)]
mod tests {
    use super::Profile;

    #[test]
    fn every_profile_is_found_by_its_own_name() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.name()), Some(*profile));
        }
        assert_eq!(Profile::from_name("nhsr"), None);
    }

    #[test]
    fn names_never_change_for_they_are_stored_with_charts() {
        let names: Vec<&str> = Profile::ALL.iter().map(|profile| profile.name()).collect();
        assert_eq!(
            names,
            ["nhsr_0_2_2", "mdc_excel_2024", "mdc_excel_2024_run6"]
        );
    }

    #[test]
    fn only_the_workbook_lets_the_length_of_runs_be_chosen() {
        for profile in Profile::ALL {
            let same = profile.with_run_points(profile.run_points());
            assert_eq!(same, Some(*profile));
        }
        let six = Profile::MdcExcel2024.with_run_points(6);
        assert_eq!(six, Some(Profile::MdcExcel2024Run6));
        assert_eq!(Profile::Nhsr022.with_run_points(6), None);
        assert_eq!(Profile::MdcExcel2024.with_run_points(8), None);
    }
}
