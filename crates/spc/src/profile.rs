//! Named readings of the XmR method. Making Data Count is not one algorithm: its tools differ in limits, rules and
//! precedence, so every chart carries the name of the one that drew it.

use std::fmt;

/// One exact reading of the XmR method.
///
/// To add one (`mdc_excel_2024` is expected): add the variant, its name, and its `Rules`. Where it differs in kind and
/// not in a constant (which points count in two-of-three, which label wins), the difference becomes an enum field of
/// `Rules`, so that the engine still has one place per rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// The R package NHSRplotthedots, version 0.2.2, as it behaves when run (not as its vignette describes it).
    #[default]
    Nhsr022,
}

impl Profile {
    /// Every profile, in the order of their introduction.
    pub const ALL: &'static [Self] = &[Self::Nhsr022];

    /// The stable name printed on charts and stored with them.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nhsr022 => "nhsr_0_2_2",
        }
    }

    /// The profile of that exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|profile| profile.name() == name)
    }

    pub(crate) const fn rules(self) -> Rules {
        match self {
            Self::Nhsr022 => Rules {
                limit_multiplier: 2.66,
                near_limit_multiplier: 2.0 * (2.66 / 3.0),
                screen_multiplier: 3.267,
                trend_points: 7,
                shift_points: 7,
                short_below: 13,
                fix_at_least: 12,
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
    /// A trend is this many points, each strictly beyond the last in one direction.
    pub(crate) trend_points: usize,
    /// A shift is this many points strictly on one side of the mean.
    pub(crate) shift_points: usize,
    /// Segments of fewer rows carry the short-series warning.
    pub(crate) short_below: usize,
    /// The shortest baseline that may be fixed.
    pub(crate) fix_at_least: usize,
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
}
