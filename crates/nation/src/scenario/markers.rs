//! The markers of a scoring nation: twenty that could be, four in each domain of quality.
//!
//! They are nobody's: levels and denominators are such as real markers of the kind have, and the spread of the
//! persistent noise is chosen so that counting noise is a tenth to a quarter of it in a medium organisation.

use qipp_domain::marker::Polarity::{self, HigherIsBetter, LowerIsBetter};
use qipp_domain::marker::QualityDomain::{
    self, Access, Effectiveness, Experience, Safety, Workforce,
};

use super::ScoringMarker;

/// How a marker behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    code: &'static str,
    domain: QualityDomain,
    polarity: Polarity,
    /// The numerator is a part of the denominator: binomial around a logit. Otherwise Poisson around a logarithm.
    pub(crate) proportion: bool,
    /// National level in the first month.
    pub(crate) level: f64,
    /// Denominator of a month, medium organisation.
    pub(crate) denominator: f64,
    /// Spread of the persistent noise, link scale.
    pub(crate) own: f64,
}

const fn share(
    code: &'static str,
    domain: QualityDomain,
    polarity: Polarity,
    (level, denominator, own): (f64, f64, f64),
) -> Model {
    Model {
        code,
        domain,
        polarity,
        proportion: true,
        level,
        denominator,
        own,
    }
}

/// Events, of which fewer are better.
const fn rate(
    code: &'static str,
    domain: QualityDomain,
    (level, denominator, own): (f64, f64, f64),
) -> Model {
    Model {
        proportion: false,
        ..share(code, domain, LowerIsBetter, (level, denominator, own))
    }
}

/// All markers, by domain. The place in the list chooses the random numbers.
pub(crate) const MODELS: [Model; 20] = [
    share(
        "SIM_ACCESS_1",
        Access,
        HigherIsBetter,
        (0.95, 11_700.0, 0.35),
    ),
    share(
        "SIM_ACCESS_2",
        Access,
        HigherIsBetter,
        (0.90, 13_000.0, 0.15),
    ),
    share("SIM_ACCESS_3", Access, LowerIsBetter, (0.02, 6_000.0, 0.40)),
    share("SIM_ACCESS_4", Access, LowerIsBetter, (0.06, 2_500.0, 0.32)),
    share(
        "SIM_SAFETY_1",
        Safety,
        HigherIsBetter,
        (0.93, 3_000.0, 0.30),
    ),
    rate("SIM_SAFETY_2", Safety, (0.006, 18_500.0, 0.40)),
    rate("SIM_SAFETY_3", Safety, (0.009, 18_500.0, 0.35)),
    rate("SIM_SAFETY_4", Safety, (0.020, 18_500.0, 0.25)),
    share(
        "SIM_EFFECTIVENESS_1",
        Effectiveness,
        LowerIsBetter,
        (0.09, 5_500.0, 0.20),
    ),
    share(
        "SIM_EFFECTIVENESS_2",
        Effectiveness,
        HigherIsBetter,
        (0.80, 1_200.0, 0.30),
    ),
    share(
        "SIM_EFFECTIVENESS_3",
        Effectiveness,
        LowerIsBetter,
        (0.25, 3_000.0, 0.18),
    ),
    rate(
        "SIM_EFFECTIVENESS_4",
        Effectiveness,
        (0.012, 18_500.0, 0.28),
    ),
    share(
        "SIM_EXPERIENCE_1",
        Experience,
        HigherIsBetter,
        (0.94, 4_000.0, 0.28),
    ),
    rate("SIM_EXPERIENCE_2", Experience, (0.004, 40_000.0, 0.32)),
    share(
        "SIM_EXPERIENCE_3",
        Experience,
        HigherIsBetter,
        (0.75, 1_500.0, 0.30),
    ),
    share(
        "SIM_EXPERIENCE_4",
        Experience,
        LowerIsBetter,
        (0.05, 9_000.0, 0.22),
    ),
    share(
        "SIM_WORKFORCE_1",
        Workforce,
        LowerIsBetter,
        (0.041, 120_000.0, 0.08),
    ),
    share(
        "SIM_WORKFORCE_2",
        Workforce,
        HigherIsBetter,
        (0.90, 4_000.0, 0.25),
    ),
    share(
        "SIM_WORKFORCE_3",
        Workforce,
        LowerIsBetter,
        (0.08, 4_500.0, 0.22),
    ),
    rate("SIM_WORKFORCE_4", Workforce, (0.060, 10_000.0, 0.20)),
];

/// The domains, in order of the list.
pub(crate) const DOMAINS: [QualityDomain; 5] =
    [Access, Safety, Effectiveness, Experience, Workforce];

/// The markers of a domain, as indices into [`MODELS`].
pub(crate) fn of(domain: QualityDomain) -> Vec<usize> {
    (0..MODELS.len())
        .filter(|index| MODELS[*index].domain == domain)
        .collect()
}

impl Model {
    pub(crate) fn marker(&self) -> ScoringMarker {
        ScoringMarker {
            code: self.code.to_owned(),
            domain: self.domain,
            polarity: self.polarity,
            proportion: self.proportion,
        }
    }

    /// Which way is worse on the link scale: 1 up, -1 down.
    pub(crate) fn adverse(&self) -> f64 {
        if self.polarity == HigherIsBetter {
            -1.0
        } else {
            1.0
        }
    }

    /// From the natural scale to the link scale.
    pub(crate) fn link(&self, level: f64) -> f64 {
        if self.proportion {
            (level / (1.0 - level)).ln()
        } else {
            level.ln()
        }
    }

    /// From the link scale to the natural scale.
    pub(crate) fn unlink(&self, eta: f64) -> f64 {
        if self.proportion {
            1.0 / (1.0 + (-eta).exp())
        } else {
            eta.exp()
        }
    }

    /// Standard deviation of counting alone on the link scale, for a denominator at a level of the link scale (delta
    /// method; at most that of one event).
    pub(crate) fn counting(&self, denominator: f64, eta: f64) -> f64 {
        let level = self.unlink(eta);
        let events = denominator * level * if self.proportion { 1.0 - level } else { 1.0 };
        1.0 / events.max(1.0).sqrt()
    }
}
