//! The arithmetic mean, accurate enough that a constant series has exactly its own value as mean.

/// Arithmetic mean in the units of the values; `None` for no values.
///
/// Formula: `m = Σx / n` with a compensated sum, then one correction, `m + (Σx − n·m) / n`. The correction is a second pass
/// `Σ(x − m)` in closed form: the compensated sum still has the digits that rounding `m` lost, and a fused
/// multiply-add recovers them without touching the values again.
///
/// A plain left-to-right sum is not good enough: it gives some constant series a mean one bit off their value, every
/// point is then strictly on one side of it, and a flat line is reported as a shift (seen with fifteen times 0.728).
///
/// Sources: Neumaier (1974), ZAMM 54:39-51, for the sum; R's `mean` for correcting once.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    // `count` is a float because it only ever divides and multiplies; it is exact up to 2^53 values.
    let (mut sum, mut lost, mut count) = (0.0_f64, 0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() {
            (sum - next) + value
        } else {
            (value - next) + sum
        };
        sum = next;
        count += 1.0;
    }
    if count == 0.0 {
        return None;
    }
    let rounded = (sum + lost) / count;
    let residual = rounded.mul_add(-count, sum) + lost;
    Some(rounded + residual / count)
}

#[cfg(test)]
mod tests {
    use super::mean;

    #[test]
    fn a_constant_series_has_its_own_value_as_mean_at_any_length() {
        for value in [0.728, 0.1, 1.0 / 3.0, -1e-300, 123_456.789, 9.999e299] {
            for count in 1..500 {
                assert_eq!(mean(std::iter::repeat_n(value, count)), Some(value));
            }
            assert_eq!(mean(std::iter::repeat_n(value, 100_000)), Some(value));
        }
    }

    #[test]
    fn small_values_survive_large_ones() {
        assert_eq!(mean([1e16, 1.0, -1e16, 1.0].into_iter()), Some(0.5));
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(mean(std::iter::empty()), None);
    }
}
