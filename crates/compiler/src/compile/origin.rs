//! Where a file that a bundler made comes from: its own source map, which it carries in its last line.
//!
//! `esbuild --bundle --sourcemap=inline` leaves one. The places of what is compiled then are those of the files that the author
//! wrote, and not lines of a file that nobody reads.

use sluice_model::manifest::check_path;
use sourcemap::{DecodedMap, SourceMap, SourceMapBuilder};

/// How the line begins.
const MARK: &str = "//# sourceMappingURL=data:";
/// Lines at the end of a file among which it is looked for.
const LAST_LINES: usize = 5;

/// The places that a file's own source map tells of.
pub(super) struct Origins {
    map: SourceMap,
    /// The files of the package by their number; nothing for what is outside of it.
    sources: Vec<Option<String>>,
}

impl Origins {
    /// Those of the file at `path`, where its text has a source map that can be read.
    pub(super) fn of(path: &str, text: &str) -> Option<Origins> {
        let line = text.lines().rev().take(LAST_LINES).find(|line| line.starts_with(MARK))?;
        let map = sourcemap::decode_data_url(line.trim_end().trim_start_matches("//# sourceMappingURL=")).ok()?;
        let DecodedMap::Regular(map) = map else { return None };
        let sources = map.sources().map(|source| relative(path, source)).collect();
        Some(Origins { map, sources })
    }

    /// Where a place of the file comes from: the file, the line and the column. All count from 0.
    pub(super) fn find(&self, line: u32, column: u32) -> Option<(&str, u32, u32)> {
        let origin = self.map.lookup_token(line, column).filter(|origin| origin.get_dst_line() == line)?;
        let source = self.sources.get(usize::try_from(origin.get_src_id()).ok()?)?.as_deref()?;
        Some((source, origin.get_src_line(), origin.get_src_col()))
    }
}

/// The source map of compiled code, from the lines of the file at `path` to those that this file was made of, where its text
/// has a source map of its own that can be read. What that says nothing of stays at the file's own lines.
pub(super) fn through(map: &str, path: &str, text: &str) -> Option<String> {
    let origins = Origins::of(path, text)?;
    let outer = SourceMap::from_slice(map.as_bytes()).ok()?;
    let mut made = SourceMapBuilder::new(None);
    for token in outer.tokens() {
        let (line, column) = (token.get_src_line(), token.get_src_col());
        let (source, line, column) = origins.find(line, column).unwrap_or((path, line, column));
        made.add(token.get_dst_line(), token.get_dst_col(), line, column, Some(source), None, false);
    }
    let mut json = Vec::new();
    made.into_sourcemap().to_writer(&mut json).ok()?;
    String::from_utf8(json).ok()
}

/// A source as the map names it, which is from the folder of the file that carries the map, as a path in the package. Nothing
/// for what lies outside of it or is no path.
fn relative(path: &str, source: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    let found = parts.join("/");
    check_path(&found).ok().map(|()| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_named_from_the_package() {
        assert_eq!(relative("dist/index.js", "../src/a.ts").as_deref(), Some("src/a.ts"));
        assert_eq!(relative("dist/a/b.js", "./c.ts").as_deref(), Some("dist/a/c.ts"));
        assert_eq!(relative("dist/index.js", "../../etc/passwd"), None);
        assert_eq!(relative("dist/index.js", "https://x/y.ts"), None);
    }

    #[test]
    fn what_is_no_source_map_changes_nothing() {
        for line in ["", "//# sourceMappingURL=data:application/json;base64,!!", "//# sourceMappingURL=index.js.map"] {
            assert_eq!(through("{}", "dist/index.js", &format!("export {{}}\n{line}\n")), None);
        }
    }
}
