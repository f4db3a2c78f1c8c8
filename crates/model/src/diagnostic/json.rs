//! Finds the place of a JSON pointer in the text that it points into.

use std::{collections::HashSet, ops::Range};

/// The bytes of the key that a JSON pointer ends in, or of the first character of the item where it ends in an index, or of
/// the whole text's first character for the empty pointer.
///
/// `text` must be JSON that has been read before. Where the pointer leads nowhere, the place of the last part that exists is
/// returned; `None` only for text without any value.
pub fn locate_json(text: &str, pointer: &str) -> Option<Range<usize>> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    cursor.skip_space();
    let mut found = cursor.first()?;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        match cursor.enter(text, &token) {
            Some(place) => found = place,
            None => break,
        }
    }
    Some(found)
}

/// The first key that stands in one object twice: a JSON pointer to it, and the bytes of the second.
///
/// `text` must be JSON that has been read before, so that it is not nested without end.
pub fn duplicate_key(text: &str) -> Option<(String, Range<usize>)> {
    Cursor { bytes: text.as_bytes(), at: 0 }.twice(text, "")
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn first(&self) -> Option<Range<usize>> {
        self.peek().map(|_| self.at..self.at + 1)
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// From the start of an object or an array to the start of the value of one of its members.
    fn enter(&mut self, text: &str, token: &str) -> Option<Range<usize>> {
        let open = self.peek()?;
        if open != b'{' && open != b'[' {
            return None;
        }
        self.at += 1;
        let mut index = 0_usize;
        loop {
            self.skip_space();
            if matches!(self.peek()?, b'}' | b']') {
                return None;
            }
            let start = self.at;
            if open == b'{' {
                self.skip_string();
                let key: String = serde_json::from_str(text.get(start..self.at)?).ok()?;
                let place = start..self.at;
                self.skip_space();
                self.at += 1; // the colon
                self.skip_space();
                if key == token {
                    return Some(place);
                }
            } else if token.parse() == Ok(index) {
                return self.first();
            }
            self.skip_value();
            self.skip_space();
            if self.peek()? == b',' {
                self.at += 1;
            }
            index += 1;
        }
    }

    /// Goes past a value; ends early at a key that was there before.
    fn twice(&mut self, text: &str, pointer: &str) -> Option<(String, Range<usize>)> {
        self.skip_space();
        let open = self.peek()?;
        if open != b'{' && open != b'[' {
            self.skip_value();
            return None;
        }
        self.at += 1;
        let mut seen = HashSet::new();
        for index in 0_usize.. {
            self.skip_space();
            if matches!(self.peek()?, b'}' | b']') {
                self.at += 1;
                return None;
            }
            let mut inner = format!("{pointer}/{index}");
            if open == b'{' {
                let start = self.at;
                self.skip_string();
                let key: String = serde_json::from_str(text.get(start..self.at)?).ok()?;
                inner = format!("{pointer}/{}", crate::decode::escape(&key));
                if !seen.insert(key) {
                    return Some((inner, start..self.at));
                }
                self.skip_space();
                self.at += 1; // the colon
            }
            if let Some(found) = self.twice(text, &inner) {
                return Some(found);
            }
            self.skip_space();
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        None
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }

    fn skip_value(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.skip_string();
                    if depth == 0 {
                        return;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => return,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return;
                    }
                }
                b',' if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }
}
