//! Lower bound of availability: the Wilson score interval, one-sided.
//!
//! With n requests, of which the share p succeeded, and z the quantile of the normal distribution at the given confidence:
//! bound = (p + z²/2n − z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n). Only + − · / and √ are used, which every machine rounds alike.

/// Least and greatest confidence.
pub(crate) const CONFIDENCE: std::ops::RangeInclusive<f64> = 0.5..=0.9999;

/// z such that the normal distribution lies below it with probability `confidence`, which lies in `CONFIDENCE`.
pub(crate) fn quantile(confidence: f64) -> f64 {
    let (mut low, mut high) = (0.0, 4.0);
    for _ in 0..64 {
        let middle = 0.5 * (low + high);
        if below(middle) < confidence { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Probability of a normal value below `z`: 1/2 + (z − z³/(2·3) + z⁵/(2²·2!·5) − …) / √(2π). Exact to 1e-12 from 0 to 4.
fn below(z: f64) -> f64 {
    let (mut power, mut sum) = (z, z);
    for n in 1..100_u32 {
        power *= -z * z / (2.0 * f64::from(n));
        sum += power / f64::from(2 * n + 1);
    }
    0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()
}

/// The bound, 0 to 100; no value without requests.
pub(crate) fn lower(requests: f64, errors: f64, z: f64) -> Option<f64> {
    if requests <= 0.0 {
        return None;
    }
    let share = ((requests - errors) / requests).clamp(0.0, 1.0);
    let square = z * z;
    let half = z * (share * (1.0 - share) / requests + square / (4.0 * requests * requests)).sqrt();
    let bound = (share + square / (2.0 * requests) - half) / (1.0 + square / requests);
    Some((100.0 * bound).clamp(0.0, 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (confidence, z) in
            [(0.5, 0.0), (0.9, 1.281_551_565_545), (0.95, 1.644_853_626_951), (0.99, 2.326_347_874_041), (0.9999, 3.719_016_485_456)]
        {
            assert!((quantile(confidence) - z).abs() < 1e-9, "{confidence}: {}", quantile(confidence));
        }
    }

    #[test]
    fn few_requests_bound_little_and_many_bound_much() {
        let z = quantile(0.95);
        // Worked out apart, in Python; without errors the bound is n / (n + z²).
        assert!((lower(10.0, 0.0, z).unwrap() - 78.705803).abs() < 1e-6);
        assert!((lower(100.0, 5.0, z).unwrap() - 90.083891).abs() < 1e-6);
        assert!(lower(1e6, 0.0, z).unwrap() > 99.999);
        assert_eq!((lower(0.0, 0.0, z), lower(5.0, 5.0, z)), (None, Some(0.0)));
    }
}
