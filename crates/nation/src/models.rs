//! How each marker behaves: what is counted of what, at which level, how it moves.
//!
//! Eighteen markers of the catalogue that existed between 2009 and 2013 and that nobody published by trust and month
//! in a form that is shipped. Published ones (waiting times, A&E) are not simulated. Denominators are the catalogue's
//! typical ones of a medium trust. Levels are general knowledge of the national figures of those years; spreads are
//! chosen so that persistent differences outweigh counting noise where counts are large.

use qipp_domain::marker::QualityDomain::{
    self, Access, Activity, Effectiveness, Experience, Safety, Workforce,
};
use qipp_domain::{MarkerCode, Period};

/// What a numerator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A part of the denominator: binomial around a logit.
    Proportion,
    /// Events per unit of the denominator: Poisson around a logarithm.
    Rate,
}

/// What it is counted of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Base {
    /// Occupied bed days of the trust in the month, one figure for all markers that use it.
    BedDays,
    /// Days of the month. The numerator then scales with the trust.
    CalendarDays,
    /// A count of its own, for a medium trust.
    Own(f64),
}

/// The behaviour of one marker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) code: &'static str,
    pub(crate) domain: QualityDomain,
    /// First month for which it may be returned: year and month, as in the catalogue.
    pub(crate) valid_from: (i16, i8),
    /// Only acute trusts return it.
    pub(crate) acute_only: bool,
    /// A slip counts for R01: role `trigger` in one of the five quality domains.
    pub(crate) trigger: bool,
    pub(crate) kind: Kind,
    pub(crate) base: Base,
    /// National level on the natural scale at some months; between them it moves evenly on the link scale, outside it
    /// stands still.
    pub(crate) path: &'static [((i16, i8), f64)],
    /// Which way is worse on the link scale: 1 up, -1 down.
    pub(crate) adverse: f64,
    /// Spread of the persistent noise of a trust, link scale.
    pub(crate) own: f64,
    /// Spread of the levels between trusts, link scale.
    pub(crate) between: f64,
    /// How much worse January is than the mean of the year, link scale.
    pub(crate) winter: f64,
}

const fn flat(
    code: &'static str,
    domain: QualityDomain,
    path: &'static [((i16, i8), f64)],
) -> Model {
    Model {
        code,
        domain,
        valid_from: (2009, 4),
        acute_only: true,
        trigger: true,
        kind: Kind::Proportion,
        base: Base::BedDays,
        path,
        adverse: 1.0,
        own: 0.3,
        between: 0.3,
        winter: 0.0,
    }
}

/// All models. New ones go to the end: the place in the list chooses the random numbers.
pub(crate) const MODELS: [Model; 18] = [
    // England had about 1% over six weeks from 2009 to 2013.
    Model {
        base: Base::Own(4000.0),
        valid_from: (2008, 3),
        own: 0.32,
        between: 0.45,
        winter: 0.08,
        ..flat("DM01_6W", Access, &[((2009, 4), 0.012)])
    },
    Model {
        base: Base::Own(65.0),
        valid_from: (2009, 1),
        own: 0.36,
        between: 0.22,
        adverse: -1.0,
        winter: 0.05,
        ..flat("CANC_62", Access, &[((2009, 4), 0.862)])
    },
    Model {
        base: Base::Own(130.0),
        valid_from: (2009, 1),
        own: 0.50,
        between: 0.30,
        adverse: -1.0,
        ..flat("CANC_31", Access, &[((2009, 4), 0.980)])
    },
    Model {
        base: Base::Own(650.0),
        valid_from: (2009, 1),
        own: 0.30,
        between: 0.25,
        adverse: -1.0,
        winter: 0.08,
        ..flat("CANC_2WW", Access, &[((2009, 4), 0.950)])
    },
    Model {
        base: Base::Own(45.0),
        valid_from: (2002, 4),
        own: 0.55,
        between: 0.35,
        winter: 0.20,
        ..flat("CANX_28D", Access, &[((2009, 4), 0.040)])
    },
    // The catalogue has 2 to 6 cases of 18,500 bed days; the national number nearly halved over the four years.
    Model {
        kind: Kind::Rate,
        valid_from: (2007, 4),
        own: 0.35,
        between: 0.30,
        winter: 0.10,
        ..flat(
            "CDI",
            Safety,
            &[((2009, 4), 0.000_32), ((2013, 3), 0.000_17)],
        )
    },
    // 2 to 5 and 10 to 25 events (catalogue).
    Model {
        kind: Kind::Rate,
        valid_from: (2010, 4),
        acute_only: false,
        own: 0.35,
        between: 0.35,
        winter: 0.05,
        ..flat("FALLS_HARM", Safety, &[((2010, 4), 0.000_19)])
    },
    Model {
        kind: Kind::Rate,
        valid_from: (2010, 4),
        acute_only: false,
        own: 0.30,
        between: 0.35,
        winter: 0.08,
        ..flat("PU_2_4", Safety, &[((2010, 4), 0.000_95)])
    },
    // A financial incentive took risk assessment from under a half to over nine in ten within two years.
    Model {
        base: Base::Own(6500.0),
        valid_from: (2010, 6),
        trigger: false,
        own: 0.25,
        between: 0.30,
        adverse: -1.0,
        ..flat(
            "VTE_RA",
            Safety,
            &[
                ((2010, 6), 0.45),
                ((2011, 3), 0.80),
                ((2012, 3), 0.925),
                ((2013, 3), 0.94),
            ],
        )
    },
    // 0 to 1 events a month (catalogue).
    Model {
        kind: Kind::Rate,
        acute_only: false,
        trigger: false,
        own: 0.30,
        between: 0.30,
        ..flat("NEVER_EVT", Safety, &[((2009, 4), 0.000_004)])
    },
    Model {
        base: Base::Own(5500.0),
        valid_from: (2011, 4),
        own: 0.075,
        between: 0.12,
        winter: 0.02,
        ..flat("READM_30", Effectiveness, &[((2011, 4), 0.090)])
    },
    Model {
        base: Base::Own(40.0),
        valid_from: (2010, 4),
        trigger: false,
        own: 0.40,
        between: 0.35,
        adverse: -1.0,
        winter: 0.10,
        ..flat(
            "STROKE_HF",
            Effectiveness,
            &[((2010, 4), 0.68), ((2013, 3), 0.80)],
        )
    },
    // 35 complaints (catalogue) of about 40,000 contacts.
    Model {
        kind: Kind::Rate,
        base: Base::Own(40_000.0),
        valid_from: (2010, 4),
        acute_only: false,
        own: 0.22,
        between: 0.25,
        winter: 0.03,
        ..flat("COMPL_RATE", Experience, &[((2010, 4), 0.000_875)])
    },
    Model {
        base: Base::Own(35.0),
        valid_from: (2010, 4),
        acute_only: false,
        trigger: false,
        own: 0.45,
        between: 0.40,
        adverse: -1.0,
        ..flat("COMPL_TIME", Experience, &[((2010, 4), 0.76)])
    },
    // 11,800 breaches nationally in December 2010, a few hundred a month two years later.
    Model {
        kind: Kind::Rate,
        base: Base::Own(8000.0),
        valid_from: (2010, 12),
        own: 0.50,
        between: 0.80,
        winter: 0.15,
        ..flat(
            "MSA",
            Experience,
            &[
                ((2010, 12), 0.008),
                ((2011, 12), 0.001_1),
                ((2013, 3), 0.000_5),
            ],
        )
    },
    Model {
        base: Base::Own(120_000.0),
        acute_only: false,
        own: 0.065,
        between: 0.13,
        winter: 0.12,
        ..flat("SICKNESS", Workforce, &[((2009, 4), 0.041)])
    },
    // 460 to 820 delayed days of 18,500 (catalogue).
    Model {
        valid_from: (2010, 8),
        trigger: false,
        own: 0.22,
        between: 0.40,
        winter: 0.06,
        ..flat("DTOC", Activity, &[((2010, 8), 0.034)])
    },
    // 3,200 episodes a month; growth about 2% a year.
    Model {
        kind: Kind::Rate,
        base: Base::CalendarDays,
        valid_from: (2008, 4),
        trigger: false,
        own: 0.045,
        between: 0.12,
        winter: 0.03,
        ..flat(
            "NEL_ADM",
            Activity,
            &[((2009, 4), 105.0), ((2013, 3), 114.0)],
        )
    },
];

impl Model {
    /// The code as a marker code.
    pub(crate) fn marker(&self) -> MarkerCode {
        MarkerCode::new(self.code).expect("the codes of the models are catalogue codes")
    }

    /// May it be returned for the month? All models' markers outlive 2013.
    pub(crate) fn is_valid_for(&self, period: Period) -> bool {
        (period.year(), period.month()) >= self.valid_from
    }

    /// From the natural scale to the link scale.
    pub(crate) fn link(&self, level: f64) -> f64 {
        match self.kind {
            Kind::Proportion => (level / (1.0 - level)).ln(),
            Kind::Rate => level.ln(),
        }
    }

    /// From the link scale to the natural scale.
    pub(crate) fn unlink(&self, eta: f64) -> f64 {
        match self.kind {
            Kind::Proportion => 1.0 / (1.0 + (-eta).exp()),
            Kind::Rate => eta.exp(),
        }
    }

    /// National level of a month, link scale, without season.
    pub(crate) fn national(&self, period: Period) -> f64 {
        let months = |(year, month): (i16, i8)| f64::from(year) * 12.0 + f64::from(month);
        let now = months((period.year(), period.month()));
        let after = self.path.partition_point(|&(at, _)| months(at) <= now);
        match (
            after.checked_sub(1).and_then(|i| self.path.get(i)),
            self.path.get(after),
        ) {
            (Some(&(from, low)), Some(&(to, high))) => {
                let part = (now - months(from)) / (months(to) - months(from));
                self.link(low) + part * (self.link(high) - self.link(low))
            }
            (Some(&(_, level)), None) | (None, Some(&(_, level))) => self.link(level),
            (None, None) => 0.0,
        }
    }

    /// Standard deviation of counting alone on the link scale, for `size` units of the denominator at `level`.
    pub(crate) fn counting(&self, size: f64, level: f64) -> f64 {
        1.0 / self.events(size, level).max(1.0).sqrt()
    }

    /// Information in a month: events for a rate, the binomial variance for a proportion (which is about the rarer
    /// outcome's count).
    pub(crate) fn events(&self, size: f64, level: f64) -> f64 {
        match self.kind {
            Kind::Proportion => size * level * (1.0 - level),
            Kind::Rate => size * level,
        }
    }
}
