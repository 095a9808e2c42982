//! Numbers that add up exactly: money in pence, quantities in thousandths.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Whole pence. Negative when a saving is reversed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Pence(pub i64);

/// The largest amount that a line may state, either way: £10bn. A full return of 20,000 such lines, or a nation of a decade, stays
/// inside `i64`.
pub const MAX_PENCE: i64 = 1_000_000_000_000;

impl std::ops::Add for Pence {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Pence {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::iter::Sum for Pence {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self(0), |a, b| a + b)
    }
}

impl fmt::Display for Pence {
    /// Pounds with thousands separators, and pence only when there are any: `£1,234,567` or `-£0.05`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let pounds = (magnitude / 100).to_string();
        let mut grouped = String::new();
        for (i, digit) in pounds.chars().enumerate() {
            if i > 0 && (pounds.len() - i).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        let sign = if self.0 < 0 { "-" } else { "" };
        let text = match magnitude % 100 {
            0 => format!("{sign}£{grouped}"),
            pence => format!("{sign}£{grouped}.{pence:02}"),
        };
        f.pad(&text)
    }
}

/// A count, or an amount with up to three decimals, in thousandths.
///
/// Integers under the hood, because roll-ups must not depend on the order of addition.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Quantity(i64);

/// The largest quantity that a return may state.
pub const MAX_QUANTITY: f64 = 1e12;

/// Why a number is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// NaN or infinite.
    #[error("is not a finite number")]
    NotFinite,
    /// Below zero.
    #[error("is negative: counts start at 0")]
    Negative,
    /// Above [`MAX_QUANTITY`].
    #[error("is above 10^12")]
    TooLarge,
    /// More than three decimals.
    #[error("has more than three decimals: round it to thousandths")]
    TooPrecise,
}

impl Quantity {
    /// From a whole number of thousandths.
    #[must_use]
    pub const fn from_thousandths(thousandths: i64) -> Self {
        Self(thousandths)
    }

    /// From a whole count; what is beyond the largest quantity stays there.
    #[must_use]
    pub const fn from_count(count: i64) -> Self {
        Self(count.saturating_mul(1000))
    }

    /// From a number that somebody sent.
    ///
    /// # Errors
    /// [`QuantityError`] when it is not finite, negative, too large or more precise than thousandths.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "bounded by MAX_QUANTITY and rounded just before"
    )]
    pub fn from_f64(number: f64) -> Result<Self, QuantityError> {
        if !number.is_finite() {
            return Err(QuantityError::NotFinite);
        }
        if number < 0.0 {
            return Err(QuantityError::Negative);
        }
        if number > MAX_QUANTITY {
            return Err(QuantityError::TooLarge);
        }
        let thousandths = (number * 1000.0).round();
        // The nearest double to a decimal with three places comes back unchanged; anything else was more precise.
        if thousandths / 1000.0 != number {
            return Err(QuantityError::TooPrecise);
        }
        Ok(Self(thousandths as i64))
    }

    /// Thousandths.
    #[must_use]
    pub const fn thousandths(self) -> i64 {
        self.0
    }

    /// As a floating-point number, for statistics and for the wire.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "statistics need no more than 53 bits"
    )]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl std::ops::Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(quantities: I) -> Self {
        quantities.fold(Self(0), |a, b| a + b)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let text = format!("{sign}{}.{:03}", magnitude / 1000, magnitude % 1000);
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_as_pounds() {
        assert_eq!(Pence(123_456_700).to_string(), "£1,234,567");
        assert_eq!(Pence(-5).to_string(), "-£0.05");
        assert_eq!(Pence(100).to_string(), "£1");
    }

    #[test]
    fn quantities_are_exact_to_thousandths() {
        assert_eq!(
            Quantity::from_f64(1234.567).unwrap().thousandths(),
            1_234_567
        );
        assert_eq!(
            Quantity::from_f64(0.1).unwrap(),
            Quantity::from_thousandths(100)
        );
        assert_eq!(Quantity::from_f64(0.0001), Err(QuantityError::TooPrecise));
        assert_eq!(Quantity::from_f64(-1.0), Err(QuantityError::Negative));
        assert_eq!(Quantity::from_f64(f64::NAN), Err(QuantityError::NotFinite));
        assert_eq!(Quantity::from_f64(2e12), Err(QuantityError::TooLarge));
    }

    #[test]
    fn adding_tenths_never_drifts() {
        let sum: Quantity = (0..1000).map(|_| Quantity::from_f64(0.1).unwrap()).sum();
        assert_eq!(sum, Quantity::from_count(100));
    }
}
