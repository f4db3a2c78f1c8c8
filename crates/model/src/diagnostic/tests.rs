#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::Invalid;

#[test]
fn one_line_leads_to_the_place() {
    let text = "const a = 1\nconst  = 2\n";
    let found = Diagnostic::error("syntax", "src/index.ts", "expected a name").at(text, 19..20);
    assert_eq!(found.to_string(), "src/index.ts:2:8: error: expected a name");
    assert_eq!(found.excerpt.unwrap(), "2 | const  = 2\n  |        ^");
}

#[test]
fn columns_count_utf16_units_and_marks_count_characters() {
    let text = "let s = '\u{1F600}' + x";
    let found = Diagnostic::error("syntax", "a.ts", "m").at(text, text.len() - 1..text.len());
    assert_eq!(found.column, Some(16));
    assert_eq!(found.excerpt.unwrap().lines().nth(1).unwrap(), format!("  | {}^", " ".repeat(14)));
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let text = format!("{}x{}", " ".repeat(5000), "y".repeat(5000));
    let found = Diagnostic::error("syntax", "a.ts", "m").at(&text, 5000..10_001);
    let excerpt = found.excerpt.unwrap();
    assert!(excerpt.lines().all(|l| l.chars().count() < 140), "{excerpt}");
    let (line, mark) = excerpt.split_once('\n').unwrap();
    assert_eq!(line.chars().position(|c| c == 'x'), mark.chars().position(|c| c == '^'));
    assert_eq!(mark.matches('^').count(), 60);
}

#[test]
fn places_past_the_end_and_inside_a_character_do_no_harm() {
    let found = Diagnostic::error("syntax", "a.ts", "m").at("\u{e9}", 1..9);
    assert_eq!((found.line, found.column), (Some(1), Some(1)));
    let found = Diagnostic::error("syntax", "a.ts", "m").at("", 7..9);
    assert_eq!((found.line, found.column), (Some(1), Some(1)));
}

#[test]
fn a_pointer_is_found_in_its_text() {
    let text = "{\n  \"a\": [1, {\"x\": \"}\\\"\"}, \"]\"],\n  \"b/c\": {\"~\": null}\n}";
    for (pointer, line, column) in [
        ("", 1, 1),
        ("/a", 2, 3),
        ("/a/0", 2, 9),
        ("/a/1/x", 2, 13),
        ("/a/2", 2, 26),
        ("/b~1c", 3, 3),
        ("/b~1c/~0", 3, 11),
    ] {
        let found = Diagnostic::in_json("c", "schema.json", text, Invalid::at(pointer, "m"));
        assert_eq!((found.line, found.column), (Some(line), Some(column)), "{pointer}");
    }
}

#[test]
fn a_pointer_that_leads_nowhere_is_shown_at_its_last_known_part() {
    let text = r#"{"a": {"b": 1}}"#;
    let found = Diagnostic::in_json("c", "f.json", text, Invalid::at("/a/missing/deeper", "m"));
    assert_eq!(found.column, Some(2));
    assert_eq!(found.to_string(), "f.json:1:2: error: /a/missing/deeper: m");
}

#[test]
fn text_that_is_not_json_is_shown_where_reading_stopped() {
    let text = "{\n  \"a\": 1,\n}";
    let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
    let found = Diagnostic::not_json("schema.json", text, &error);
    assert_eq!(found.to_string(), "schema.json:3:1: error: not JSON: trailing comma");
}

#[test]
fn a_near_word_is_suggested_and_a_far_one_is_not() {
    assert_eq!(nearest("trigers", ["triggers", "outcomes"]), Some("triggers"));
    assert_eq!(nearest("NAME", ["name"]), Some("name"));
    assert_eq!(nearest("license", ["slug", "name"]), None);
    assert_eq!(nearest(&"x".repeat(100_000), ["slug"]), None);
}

#[test]
fn it_survives_the_way_through_json() {
    let found = Diagnostic::error("syntax", "a.ts", "m").at("abc", 1..2).with_help("h").with_pointer("/p");
    let read: Diagnostic = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(read, found);
    assert_eq!(found.render(), "a.ts:1:2: error: /p: m\n  1 | abc\n    |  ^\n  help: h");
}

#[test]
fn a_key_that_stands_there_twice_is_found_wherever_it_is() {
    let text = r#"{"a": [1, {"b": "\"}", "c": {"b": 1}}, {"b": 2, "b": 3}], "a": 4}"#;
    let (pointer, span) = duplicate_key(text).unwrap();
    assert_eq!((pointer.as_str(), &text[span.clone()]), ("/a/2/b", "\"b\""));
    assert_eq!(span.start, text.rfind("\"b\"").unwrap());
    assert_eq!(duplicate_key(r#"{"a": {"a": [{"a": 1}, {"a": 2}]}, "b/c": null}"#), None);
    assert_eq!(duplicate_key("7"), None);
    // The same key, written otherwise.
    assert!(duplicate_key(r#"{"a": 1, "\u0061": 2}"#).is_some());
}
