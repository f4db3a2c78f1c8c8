//! Names that no Action may write, in every disguise.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn reserved_names_are_refused_in_every_disguise() {
    for name in [
        "sub",
        "SUB",
        "Sub",
        "ſub",
        "ｓｕｂ",
        "X5T#s256",
        "x5t#S256",
        "email_verified",
        "sluice_x",
        "SLUICE_x",
        "urn:sluice:x",
        "__proto__",
        "constructor",
        "prototype",
        "ⅰss",
        "s\u{34f}ub",
        "su\u{fe0f}b",
        "\u{3164}sub",
        "sluice\u{fe00}_x",
    ] {
        assert!(check_name(name).is_err(), "{name:?} must be refused");
    }
}

#[test]
fn control_format_and_space_characters_are_refused_by_code_point() {
    for (name, code) in [
        ("a b", "U+0020"),
        ("a\u{200b}", "U+200B"),
        ("a\u{0}", "U+0000"),
        ("a\u{a0}b", "U+00A0"),
        ("\u{202e}a", "U+202E"),
        ("a\u{e000}", "U+E000"),
    ] {
        assert!(check_name(name).unwrap_err().contains(code), "{name:?}");
    }
    assert!(check_name("").is_err());
    assert!(check_name(&"x".repeat(129)).is_err());
}

#[test]
fn ordinary_names_are_taken() {
    for name in ["plan", "https://example.com/roles", "subject", "größe", "x", "org", "roles", "naïve+1€", "substance"]
    {
        check_name(name).unwrap();
    }
}

#[test]
fn sizes_are_those_of_compact_json() {
    let value = serde_json::json!({"a": [1, "é\""], "b": null});
    let object = value.as_object().unwrap();
    assert_eq!(object_bytes(object), value.to_string().len());
    assert_eq!(object_bytes(&Object::new()), 2);
}
