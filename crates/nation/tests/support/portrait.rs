//! What a marker looks like, measured alike on published and on simulated figures.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use super::{correlation, mean, median, sd};

/// One figure: numerator and denominator.
pub(crate) type Parts = (f64, f64);

/// A marker by organisation; every organisation has every month.
pub(crate) struct Marker {
    pub(crate) proportion: bool,
    /// -1 where more is better.
    pub(crate) adverse: f64,
    /// Calendar month of the first month, 1 to 12.
    pub(crate) first: usize,
    pub(crate) series: BTreeMap<String, Vec<Parts>>,
}

/// The figures of a marker. Spreads of national movements and of levels are in standard deviations of the median series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portrait {
    /// Autocorrelation of the median organisation.
    pub(crate) rho: f64,
    /// Variance against that of counting alone, median organisation.
    pub(crate) overdispersion: f64,
    /// Standard deviation of the logarithm of the organisations' standard deviations.
    pub(crate) sd_spread: f64,
    pub(crate) level_spread: f64,
    /// Fourth moment of the innovations over the square of their second.
    pub(crate) kurtosis: f64,
    /// A year.
    pub(crate) trend: f64,
    /// January less the mean of the year.
    pub(crate) winter: f64,
    /// Of what trend and winter leave of the national course.
    pub(crate) month_effect: f64,
}

impl Marker {
    /// Link scale, plus is worse; half an event keeps zeros finite.
    pub(crate) fn link(&self, (x, n): Parts) -> f64 {
        let y = if self.proportion {
            ((x + 0.5) / (n - x + 0.5)).ln()
        } else {
            ((x + 0.5) / n).ln()
        };
        y * self.adverse
    }

    fn months(&self) -> usize {
        self.series.values().next().map_or(0, Vec::len)
    }

    /// By month: the median of the organisations.
    pub(crate) fn national(&self) -> Vec<f64> {
        (0..self.months())
            .map(|month| median(self.series.values().map(|s| self.link(s[month])).collect()))
            .collect()
    }

    /// By organisation and month, less the national median.
    pub(crate) fn residuals(&self) -> BTreeMap<String, Vec<f64>> {
        let national = self.national();
        let less = |series: &Vec<Parts>| {
            series
                .iter()
                .zip(&national)
                .map(|(parts, national)| self.link(*parts) - national)
                .collect()
        };
        self.series
            .iter()
            .map(|(org, series)| (org.clone(), less(series)))
            .collect()
    }

    pub(crate) fn portrait(&self) -> Portrait {
        let residuals = self.residuals();
        let sds: Vec<f64> = residuals.values().map(|z| sd(z)).collect();
        let own = median(sds.clone());
        let rhos: Vec<f64> = residuals.values().map(|z| autocorrelation(z)).collect();
        let standard = residuals.values().flat_map(|z| {
            let e = innovations(z);
            let s = sd(&e);
            e.into_iter().map(move |e| e / s).collect::<Vec<f64>>()
        });
        let standard: Vec<f64> = standard.collect();
        let moment = |k: i32| mean(&standard.iter().map(|e| e.powi(k)).collect::<Vec<f64>>());
        let overdispersion = self.series.iter().map(|(org, series)| {
            let x = mean(&series.iter().map(|parts| parts.0).collect::<Vec<f64>>());
            let n = mean(&series.iter().map(|parts| parts.1).collect::<Vec<f64>>());
            let events = if self.proportion {
                x * (1.0 - x / n)
            } else {
                x
            };
            sd(&residuals[org]).powi(2) * events
        });
        let [trend, winter, month_effect] = self.course();
        Portrait {
            rho: median(rhos),
            overdispersion: median(overdispersion.collect()),
            sd_spread: sd(&sds.iter().map(|s| s.ln()).collect::<Vec<f64>>()),
            level_spread: sd(&residuals.values().map(|z| mean(z)).collect::<Vec<f64>>()) / own,
            kurtosis: moment(4) / moment(2).powi(2),
            trend: trend / own,
            winter: winter / own,
            month_effect: month_effect / own,
        }
    }

    /// Least squares of the national course on time and season: slope a year, January, spread of the rest.
    fn course(&self) -> [f64; 3] {
        let national = self.national();
        let angle = |month: usize| TAU * ((self.first - 1 + month) % 12) as f64 / 12.0;
        let columns: [Vec<f64>; 4] = [
            vec![1.0; national.len()],
            (0..national.len())
                .map(|month| month as f64 / 12.0)
                .collect(),
            (0..national.len())
                .map(|month| angle(month).cos())
                .collect(),
            (0..national.len())
                .map(|month| angle(month).sin())
                .collect(),
        ];
        // Gauss-Seidel: each coefficient in turn on what the others leave; 1000 rounds are far more than enough.
        let mut coefficients = [0.0; 4];
        let mut rest = national;
        for _ in 0..1000 {
            for (coefficient, column) in coefficients.iter_mut().zip(&columns) {
                let dot: f64 = rest.iter().zip(column).map(|(r, c)| r * c).sum();
                let step = dot / column.iter().map(|c| c * c).sum::<f64>();
                *coefficient += step;
                rest.iter_mut()
                    .zip(column)
                    .for_each(|(r, c)| *r -= step * c);
            }
        }
        [coefficients[1], coefficients[2], sd(&rest)]
    }
}

pub(crate) fn autocorrelation(z: &[f64]) -> f64 {
    let m = mean(z);
    let product: f64 = z.windows(2).map(|w| (w[0] - m) * (w[1] - m)).sum();
    product / z.iter().map(|v| (v - m).powi(2)).sum::<f64>()
}

/// What the month before does not say.
pub(crate) fn innovations(z: &[f64]) -> Vec<f64> {
    let (m, rho) = (mean(z), autocorrelation(z));
    z.windows(2)
        .map(|w| (w[1] - m) - rho * (w[0] - m))
        .collect()
}

/// Mean over organisations of the correlation of two markers' innovations.
pub(crate) fn shared(one: &BTreeMap<String, Vec<f64>>, other: &BTreeMap<String, Vec<f64>>) -> f64 {
    let each = one.iter().map(|(org, z)| {
        let pairs: Vec<(f64, f64)> = innovations(z)
            .into_iter()
            .zip(innovations(&other[org]))
            .collect();
        correlation(&pairs)
    });
    mean(&each.collect::<Vec<f64>>())
}
