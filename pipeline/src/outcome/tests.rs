use super::*;
use proptest::prelude::*;

fn verdict(status: Status<'_>) -> (Outcome, &str) {
    let verdict = classify(&status).expect("a row matches");
    (verdict.outcome, verdict.error_type)
}

fn http(code: i64) -> Status<'static> {
    Status { http: Some(code), ..Status::default() }
}

fn grpc(code: Grpc) -> Status<'static> {
    Status { grpc: Some(code), ..Status::default() }
}

fn text(word: &str) -> Status<'_> {
    let mut status = Status::default();
    status.set_text(word);
    status
}

#[test]
fn no_status_at_all_is_a_success() {
    assert_eq!(classify(&Status::default()), Ok(Verdict { outcome: Outcome::Ok, error_type: "", status_class: StatusClass::None }));
    assert_eq!(verdict(text("")), (Outcome::Ok, ""));
}

#[test]
fn a_stated_outcome_stands_in_front_of_the_table() {
    assert_eq!(verdict(Status { stated: Some(Outcome::Ok), ..http(503) }), (Outcome::Ok, ""));
    assert_eq!(verdict(Status { stated: Some(Outcome::Error), ..http(429) }), (Outcome::Error, "429"));
    assert_eq!(verdict(Status { stated: Some(Outcome::Error), ..http(5) }), (Outcome::Error, "_OTHER"));
    assert_eq!(verdict(Status { stated: Some(Outcome::Ignored), text: Some("down"), ..Status::default() }), (Outcome::Ignored, ""));
}

#[test]
fn a_caller_that_went_away_is_ignored() {
    assert_eq!(verdict(http(499)), (Outcome::Ignored, ""));
    assert_eq!(verdict(Status { span_error: true, ..grpc(Grpc::Cancelled) }), (Outcome::Ignored, ""));
    for word in ["cancelled", "canceled", "ignored", "Cancelled"] {
        assert_eq!(verdict(text(word)), (Outcome::Ignored, ""), "{word}");
    }
    assert_eq!(verdict(Status { envoy_flag: Some("DC"), ..http(0) }), (Outcome::Ignored, ""));
    assert_eq!(verdict(Status { envoy_flag: Some("UC,DC"), ..http(200) }), (Outcome::Ignored, ""));
    assert_eq!(verdict(Status { envoy_flag: Some("DC"), ..http(503) }), (Outcome::Error, "DC"));
}

#[test]
fn exactly_six_grpc_codes_are_errors() {
    let errors: Vec<i64> = (0..17).filter(|n| verdict(grpc(Grpc::from_number(*n).unwrap())).0 == Outcome::Error).collect();
    assert_eq!(errors, [2, 4, 12, 13, 14, 15]);
    assert_eq!(verdict(grpc(Grpc::Unavailable)), (Outcome::Error, "UNAVAILABLE"));
    assert_eq!(verdict(Status { http: Some(200), ..grpc(Grpc::Internal) }), (Outcome::Error, "INTERNAL"));
}

#[test]
fn http_below_500_is_a_success_and_zero_is_no_response() {
    for code in [100, 200, 304, 404, 429, 498] {
        assert_eq!(verdict(http(code)), (Outcome::Ok, ""), "{code}");
    }
    assert_eq!(verdict(http(0)), (Outcome::Error, "no_response"));
    assert_eq!(verdict(http(500)), (Outcome::Error, "500"));
    assert_eq!(verdict(http(999)), (Outcome::Error, "999"));
}

#[test]
fn what_is_no_status_is_refused() {
    for code in [1, 50, 99, 1000, i64::MAX, -1, i64::MIN] {
        assert_eq!(classify(&http(code)), Err(Reason::StatusInvalid), "{code}");
    }
    for word in ["weird", "200.0", "2xx", "99", "1000", "-200", "99999999999999999999999"] {
        assert_eq!(classify(&text(word)), Err(Reason::StatusInvalid), "{word}");
    }
}

#[test]
fn every_failure_flag_of_envoy_is_an_error_named_by_the_flag() {
    for flag in "UF UH UO URX UT UC UR LR LH NC UPE UMSDR DT OM DF".split(' ') {
        assert_eq!(verdict(Status { envoy_flag: Some(flag), ..http(200) }), (Outcome::Error, flag));
    }
    assert_eq!(verdict(Status { envoy_flag: Some("RL, URX"), ..http(503) }), (Outcome::Error, "URX"));
    assert_eq!(verdict(Status { envoy_flag: Some("-"), ..http(503) }), (Outcome::Error, "503"));
    assert_eq!(verdict(Status { envoy_flag: Some("RL"), ..http(429) }), (Outcome::Ok, ""));
}

#[test]
fn a_failed_span_is_an_error_unless_its_caller_cancelled() {
    let failed = Status { span_error: true, ..Status::default() };
    assert_eq!(verdict(failed), (Outcome::Error, "_OTHER"));
    assert_eq!(verdict(Status { http: Some(404), ..failed }), (Outcome::Error, "404"));
    assert_eq!(verdict(Status { http: Some(200), ..failed }), (Outcome::Error, "_OTHER"));
    assert_eq!(verdict(Status { grpc: Some(Grpc::Ok), ..failed }), (Outcome::Error, "_OTHER"));
    assert_eq!(verdict(Status { grpc: Some(Grpc::NotFound), ..failed }), (Outcome::Error, "NOT_FOUND"));
}

#[test]
fn words_are_read_in_any_case_and_numeric_text_is_http() {
    for word in ["error", "FAIL", "Failed", "failure", "down", "timeout"] {
        assert_eq!(verdict(text(word)), (Outcome::Error, "_OTHER"), "{word}");
    }
    for word in ["ok", "success", "up", "pass", "OK", "200", "404"] {
        assert_eq!(verdict(text(word)), (Outcome::Ok, ""), "{word}");
    }
    assert_eq!(verdict(text("503")), (Outcome::Error, "503"));
}

#[test]
fn a_client_span_takes_4xx_as_an_error() {
    assert_eq!(verdict(Status { client_span: true, ..http(404) }), (Outcome::Error, "404"));
    assert_eq!(verdict(Status { client_span: true, ..http(499) }), (Outcome::Ignored, ""));
    assert_eq!(verdict(Status { client_span: true, ..http(302) }), (Outcome::Ok, ""));
}

#[test]
fn the_kind_of_error_is_the_first_present() {
    let all = Status { error_type: Some("timeout"), envoy_flag: Some("UF"), ..Status { http: Some(503), ..grpc(Grpc::Internal) } };
    assert_eq!(verdict(all).1, "timeout");
    assert_eq!(verdict(Status { error_type: Some(""), ..all }).1, "INTERNAL");
    assert_eq!(verdict(Status { error_type: None, grpc: None, ..all }).1, "UF");
    assert_eq!(verdict(Status { error_type: None, grpc: None, envoy_flag: None, ..all }).1, "503");
}

#[test]
fn classes_follow_the_hundreds() {
    let class = |code| classify(&Status { stated: Some(Outcome::Ok), ..http(code) }).unwrap().status_class;
    assert_eq!([0, 99, 100, 204, 302, 404, 503, 700, -5].map(class), {
        use StatusClass::{ClientError, Informational, None, Redirection, ServerError, Success};
        [None, None, Informational, Success, Redirection, ClientError, ServerError, ServerError, None]
    });
}

#[test]
fn grpc_codes_are_read_as_numbers_and_names() {
    assert_eq!(Grpc::parse("14"), Some(Grpc::Unavailable));
    for name in ["DEADLINE_EXCEEDED", "deadline_exceeded", "DeadlineExceeded"] {
        assert_eq!(Grpc::parse(name), Some(Grpc::DeadlineExceeded), "{name}");
    }
    assert_eq!(Grpc::parse("Canceled"), Some(Grpc::Cancelled));
    assert_eq!([Grpc::parse("17"), Grpc::parse("-1"), Grpc::parse(""), Grpc::parse("_"), Grpc::parse("OKAY")], [None; 5]);
}

proptest! {
    #[test]
    fn every_status_has_a_verdict_or_is_refused(
        http in proptest::option::of(any::<i64>()), number in proptest::option::of(0_i64..17), flag in ".{0,6}", failed: bool, client: bool, word in ".{0,8}", kind in ".{0,5}"
    ) {
        let status = Status {
            stated: None, http, grpc: number.and_then(Grpc::from_number), envoy_flag: Some(&flag), span_error: failed, client_span: client,
            text: Some(&word), error_type: Some(&kind),
        };
        if let Ok(verdict) = classify(&status) {
            prop_assert_eq!(verdict.error_type.is_empty(), verdict.outcome != Outcome::Error);
        }
    }
}
