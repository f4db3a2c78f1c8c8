#![allow(clippy::unwrap_used, reason = "a test")]
use super::*;
use serde_json::json;

/// The vector that the specification's own libraries test themselves with.
#[test]
fn signatures_are_those_of_the_specification() {
    let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let signed = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn a_rotating_secret_signs_twice() {
    let first = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let second = SigningKey::parse(&format!("whsec_{}", STANDARD.encode([7; 24]))).unwrap();
    let both = sign(&[second.clone(), first.clone()], "msg_1", 7, b"{}");
    assert_eq!(both, format!("{} {}", second.sign("msg_1", 7, b"{}"), first.sign("msg_1", 7, b"{}")));
    assert_ne!(second.sign("msg_1", 7, b"{}"), first.sign("msg_1", 7, b"{}"));
    assert_ne!(first.sign("msg_1", 8, b"{}"), first.sign("msg_1", 7, b"{}"));
}

#[test]
fn a_signing_secret_has_its_form_and_is_not_repeated() {
    let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![1; bytes]));
    for good in [of(24), of(64), of(32).trim_end_matches('=').to_owned(), format!(" {}\n", of(25))] {
        assert!(SigningKey::parse(&good).is_ok(), "{good}");
    }
    for bad in [of(23), of(65), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), "whsec_***".to_owned(), String::new()] {
        let wrong = SigningKey::parse(&bad).unwrap_err();
        assert!(wrong.message.contains("24 to 64"), "{}", wrong.message);
        assert!(bad.is_empty() || !wrong.message.contains(&bad), "{}", wrong.message);
    }
    assert_eq!(format!("{:?}", SigningKey::parse(&of(24)).unwrap()), "SigningKey(..)");
}

#[test]
fn waits_follow_the_schedule_with_a_fifth_of_jitter() {
    let s = Duration::from_secs;
    for (made, planned) in (1..10).zip([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]) {
        assert_eq!(retry_after(made, None, 0), s(planned) * 4 / 5);
        assert_eq!(retry_after(made, None, planned * 400), s(planned) * 6 / 5);
        for random in [1, 12_345_678_901, u64::MAX] {
            let wait = retry_after(made, None, random);
            assert!((s(planned) * 4 / 5..=s(planned) * 6 / 5).contains(&wait), "{wait:?}");
        }
    }
    assert_eq!(retry_after(99, None, 0), retry_after(9, None, 0));
    assert_eq!(retry_after(0, None, 7), Duration::ZERO);
}

#[test]
fn a_receiver_may_ask_for_more_time_and_not_for_less() {
    let s = Duration::from_secs;
    assert_eq!(retry_after(1, Some(s(60)), 0), s(60));
    assert_eq!(retry_after(2, Some(s(60)), 0), s(240));
    assert_eq!(retry_after(1, Some(s(u64::MAX)), 0), s(MAX_RETRY_AFTER_S));
    let now = "2026-01-31T12:00:00Z".parse().unwrap();
    for (header, asked) in [
        ("120", Some(s(120))),
        (" 0 ", Some(s(0))),
        ("99999999999999999999999", Some(s(MAX_RETRY_AFTER_S))),
        ("Sat, 31 Jan 2026 12:00:30 GMT", Some(s(30))),
        ("Sat, 31 Jan 2026 11:00:00 GMT", Some(s(0))),
        ("soon", None),
        ("-5", None),
        ("", None),
    ] {
        assert_eq!(read_retry_after(header, now), asked, "{header}");
    }
}

#[test]
fn ids_are_the_same_for_the_same_and_different_for_what_differs() {
    let run = |execution, attachment, emit, target| Origin::Run { execution, attachment, emit, target };
    let first = run("e", "a", 0, 0).id("acme");
    assert_eq!(first, run("e", "a", 0, 0).id("acme"));
    assert_eq!(first.len(), 30);
    assert!(first.strip_prefix("msg_").unwrap().bytes().all(|b| BASE32.contains(&b)), "{first}");
    let others = [
        run("e", "a", 0, 0).id("acme2"),
        run("e2", "a", 0, 0).id("acme"),
        run("e", "a2", 0, 0).id("acme"),
        run("ea", "", 0, 0).id("acme"),
        run("e", "a", 1, 0).id("acme"),
        run("e", "a", 0, 1).id("acme"),
        Origin::Key { slug: "e", key: "a", endpoint: "" }.id("acme"),
    ];
    for (at, id) in others.iter().enumerate() {
        assert!(*id != first && !others[..at].contains(id), "{at}");
    }
}

#[test]
fn a_body_has_its_bound() {
    let at = "2026-01-31T12:00:00.5Z".parse().unwrap();
    let data = json!({ "b": 1, "a": "é\u{2028}" });
    let standard = body(EmitFormat::Standard, "user.created", at, &data).unwrap();
    let expected =
        "{\"type\":\"user.created\",\"timestamp\":\"2026-01-31T12:00:00.5Z\",\"data\":{\"a\":\"é\u{2028}\",\"b\":1}}";
    assert_eq!(standard, expected);
    let fits = |bytes: usize| body(EmitFormat::Slack, "t", at, &json!("x".repeat(bytes - 2)));
    assert_eq!(fits(MAX_BODY_BYTES).unwrap().len(), MAX_BODY_BYTES);
    assert!(fits(MAX_BODY_BYTES + 1).unwrap_err().message.contains("20001"));
}
