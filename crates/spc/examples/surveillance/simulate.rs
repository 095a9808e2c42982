//! The simulated panels on which the surveillance layer is judged.
//!
//! 500 organisations: 25 save and slip, 50 only save, 50 only slip. One savings series and 20 markers in 4 domains of 5, so
//! that a slip of 5 markers is that of one domain, drawn at random for each organisation. 24 months before and 24 after.
//! Each series is the organisation's level (sd 1) + what is national (trend, season of amplitude 1, random walk) + sd ×
//! (a stationary AR(1) of variance 1 + shift), sd log-normal with 20 %. Innovations are t6; those of an organisation's
//! markers have correlation 0.2 by a common factor, and savings are independent of them. The autocorrelation of a series
//! is uniform in the scenario's range; each organisation's is scattered round it with sd 0.2 and held within −0.5 and 0.9.
//! Shifts are in the organisation's own marginal sd, come in thirds over three months, and stay.

#[path = "../../src/surveillance/random.rs"]
mod random;
use qipp_spc::surveillance::{Design, Panel};
use random::Random;

pub(crate) const MARKERS: usize = 20;
pub(crate) const DOMAINS: usize = 4;
pub(crate) const SERIES: usize = MARKERS + 1;
pub(crate) const BASELINE: usize = 24;
/// Months until a shift is there in full: a third, two thirds, all.
pub(crate) const RAMP: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Onset {
    /// Month 25 for everybody.
    Fixed,
    /// Uniform on months 25 to 37: at least eleven months follow.
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scatter {
    None,
    /// Each series of each organisation has its own deviation.
    Own,
    /// All series of an organisation deviate alike.
    Shared,
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) rho: (f64, f64),
    pub(crate) slip: f64,
    pub(crate) savings: f64,
    pub(crate) organisations: usize,
    pub(crate) both: usize,
    pub(crate) savings_only: usize,
    pub(crate) quality_only: usize,
    pub(crate) onset: Onset,
    pub(crate) scatter: Scatter,
    pub(crate) months: usize,
    pub(crate) level_sd: f64,
    pub(crate) missing: f64,
}

impl Scenario {
    pub(crate) fn named(name: &str) -> Scenario {
        let (rho, slip, savings, both) = match name {
            "A" => ((0.0, 0.6), 1.0, 1.5, 25),
            "B" => ((0.0, 0.0), 1.0, 1.5, 25),
            "C" => ((0.3, 0.7), 1.5, 2.0, 25),
            "E" => ((0.0, 0.6), 2.0, 2.0, 25),
            "N" => ((0.0, 0.6), 1.0, 1.5, 0),
            _ => ((0.0, 0.6), 2.0, 2.0, 0),
        };
        Scenario {
            rho,
            slip,
            savings,
            organisations: 500,
            both,
            savings_only: 50,
            quality_only: 50,
            onset: Onset::Fixed,
            scatter: Scatter::Own,
            months: 48,
            level_sd: 1.0,
            missing: 0.0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Nothing,
    Both,
    Savings,
    Quality,
}

pub(crate) struct Nation {
    /// Organisations × series × months; series 0 is savings, marker m is series 1 + m.
    pub(crate) values: Vec<f64>,
    pub(crate) kind: Vec<Kind>,
    /// Index of the first month of the shift.
    pub(crate) onset: Vec<usize>,
    /// Domain that slips, where one does.
    #[allow(dead_code, reason = "read by tests/surveillance.rs")]
    pub(crate) domain: Vec<usize>,
}

/// The nation as the layer takes it.
pub(crate) fn panel(s: &Scenario, nation: &Nation) -> Panel {
    let size = MARKERS / DOMAINS;
    Panel {
        units: s.organisations,
        series: SERIES,
        months: s.months,
        values: nation.values.clone(),
        starts: vec![0; s.organisations],
        design: Design {
            savings: 0,
            domains: (0..DOMAINS)
                .map(|d| (0..size).map(|i| 1 + d * size + i).collect())
                .collect(),
        },
    }
}

fn t6(r: &mut Random) -> f64 {
    let chi2 = -2.0 * (r.uniform() * r.uniform() * r.uniform()).ln();
    // Variance of a t6 is 6/4.
    r.normal() / (chi2 / 6.0).sqrt() / 1.5f64.sqrt()
}

pub(crate) fn nation(s: &Scenario, seed: u64) -> Nation {
    let mut r = Random::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 0x51);
    let n = s.organisations;
    let t = s.months;
    let rho: Vec<f64> = (0..SERIES)
        .map(|_| s.rho.0 + (s.rho.1 - s.rho.0) * r.uniform())
        .collect();
    // National course of each series: trend, season, and a random walk, common to all.
    let mut national = vec![0.0; SERIES * t];
    for j in 0..SERIES {
        let (trend, phase, mut walk) = (0.05 * r.normal(), r.uniform() * 12.0, 0.0);
        for m in 0..t {
            walk += 0.1 * r.normal();
            national[j * t + m] =
                trend * m as f64 + ((m as f64 + phase) * std::f64::consts::TAU / 12.0).sin() + walk;
        }
    }
    let mut kind = vec![Kind::Nothing; n];
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, r.below(i + 1));
    }
    for (i, u) in order.iter().enumerate() {
        kind[*u] = match i {
            i if i < s.both => Kind::Both,
            i if i < s.both + s.savings_only => Kind::Savings,
            i if i < s.both + s.savings_only + s.quality_only => Kind::Quality,
            _ => Kind::Nothing,
        };
    }
    let mut values = vec![0.0; n * SERIES * t];
    let mut onset = vec![usize::MAX; n];
    let mut domain = vec![0; n];
    for u in 0..n {
        onset[u] = match s.onset {
            Onset::Fixed => BASELINE,
            Onset::Random => BASELINE + r.below(13),
        };
        domain[u] = r.below(DOMAINS);
        let shared = 0.2 * r.normal();
        let mut own_rho = [0.0; SERIES];
        let mut sd = [0.0; SERIES];
        let mut level = [0.0; SERIES];
        for j in 0..SERIES {
            let scatter = match s.scatter {
                Scatter::None => 0.0,
                Scatter::Own => 0.2 * r.normal(),
                Scatter::Shared => shared,
            };
            own_rho[j] = (rho[j] + scatter).clamp(-0.5, 0.9);
            sd[j] = (0.2 * r.normal()).exp();
            level[j] = s.level_sd * r.normal();
        }
        let mut x = [0.0; SERIES];
        for m in 0..t + 20 {
            let common = t6(&mut r);
            for j in 0..SERIES {
                let own = t6(&mut r);
                // Markers share a factor (correlation 0.2); savings do not.
                let e = if j == 0 {
                    own
                } else {
                    0.2f64.sqrt() * common + 0.8f64.sqrt() * own
                };
                x[j] = own_rho[j] * x[j] + (1.0 - own_rho[j] * own_rho[j]).sqrt() * e;
                // Twenty months are thrown away, so that the first month is stationary.
                let Some(month) = m.checked_sub(20) else {
                    continue;
                };
                let ramp = if month < onset[u] {
                    0.0
                } else {
                    ((month - onset[u] + 1) as f64 / RAMP as f64).min(1.0)
                };
                let hit = if j == 0 {
                    if matches!(kind[u], Kind::Both | Kind::Savings) {
                        s.savings
                    } else {
                        0.0
                    }
                } else if (j - 1) / (MARKERS / DOMAINS) == domain[u]
                    && matches!(kind[u], Kind::Both | Kind::Quality)
                {
                    s.slip
                } else {
                    0.0
                };
                values[(u * SERIES + j) * t + month] =
                    level[j] + national[j * t + month] + sd[j] * (x[j] + hit * ramp);
            }
        }
    }
    if s.missing > 0.0 {
        for v in &mut values {
            if r.uniform() < s.missing {
                *v = f64::NAN;
            }
        }
    }
    Nation {
        values,
        kind,
        onset,
        domain,
    }
}
