//! Availability = 100 · (1 − errors / requests), computed as 100 · (requests − errors) / requests.
//!
//! 0 to 100 in expressions, a ratio from 0 to 1 in metrics and records. No value without requests: a silent service is not "up".

/// Availability from 0 to 100, as expressions see it.
#[must_use]
pub fn percent(requests: u64, errors: u64) -> Option<f64> {
    let good = u128::from(requests.saturating_sub(errors));
    (requests > 0).then(|| (100 * good) as f64 / requests as f64)
}

/// Availability from 0 to 1, as metrics and records have it.
#[must_use]
pub fn ratio(requests: u64, errors: u64) -> Option<f64> {
    (requests > 0).then(|| requests.saturating_sub(errors) as f64 / requests as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn availability_is_the_share_of_requests_that_did_not_fail() {
        assert_eq!((percent(1000, 10), ratio(1000, 10)), (Some(99.0), Some(0.99)));
        assert_eq!((percent(3, 3), ratio(3, 0)), (Some(0.0), Some(1.0)));
    }

    #[test]
    fn without_requests_there_is_no_availability() {
        assert_eq!((percent(0, 0), ratio(0, 0)), (None, None));
    }
}
