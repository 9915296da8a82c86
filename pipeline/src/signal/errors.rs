//! Errors: count = Σ weight with outcome error; rate = count / seconds of the window; ratio = count / requests.
//!
//! The ratio has no value without requests. Which status is an error is decided in `outcome.rs`.

/// Share of the requests that failed, 0 to 1.
#[must_use]
pub fn ratio(requests: u64, errors: u64) -> Option<f64> {
    (requests > 0).then(|| errors as f64 / requests as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_has_no_value_without_requests() {
        assert_eq!((ratio(3, 1), ratio(4, 0), ratio(0, 0)), (Some(1.0 / 3.0), Some(0.0), None));
    }
}
