//! Source maps: a place in the JavaScript leads back to the author's line and column.

use super::*;
use sourcemap::SourceMap;

/// Where the author wrote what stands at `marker` in the compiled module: file, line and column, both from 1.
fn origin(files: &[(&str, &str)], module: &str, marker: &str) -> (String, u32, u32) {
    let bundle = compile_sources(&sources(files)).unwrap().bundle;
    let module = bundle.modules.iter().find(|m| m.path == module).unwrap();
    let at = module.code.find(marker).unwrap();
    let line = module.code[..at].matches('\n').count();
    let start = module.code[..at].rfind('\n').map_or(0, |i| i + 1);
    let column = module.code[start..at].encode_utf16().count();
    let map = SourceMap::from_slice(module.source_map.as_bytes()).unwrap();
    let token = map.lookup_token(u32::try_from(line).unwrap(), u32::try_from(column).unwrap()).unwrap();
    (token.get_source().unwrap().to_owned(), token.get_src_line() + 1, token.get_src_col() + 1)
}

const THROWS: &str = "import { fail } from './lib/fail'\n\
    \n\
    interface Input { user: { id: string } | null }\n\
    // A comment, which is not printed.\n\
    enum Kind { A, B }\n\
    \n\
    export async function execute(input: Input): Promise<unknown> {\n\
    \u{20}   const shown: string = '\u{1F600}'; if (!input.user) throw new TypeError('no user' as string)\n\
    \u{20}   return fail<Kind>(Kind.A)\n\
    }\n";
const FAILS: &str =
    "export function fail<T>(of: T): never {\n  /* two\n  lines */ throw new Error(`failed ${of}`)\n}\n";

#[test]
fn a_throw_leads_to_its_line_and_column() {
    let files = [("src/index.ts", THROWS), ("src/lib/fail.ts", FAILS)];
    let line: Vec<&str> = THROWS.lines().collect();
    let column =
        |line: &str, part: &str| u32::try_from(line[..line.find(part).unwrap()].encode_utf16().count() + 1).unwrap();
    assert_eq!(
        origin(&files, "src/index.ts", "new TypeError"),
        ("src/index.ts".to_owned(), 8, column(line[7], "new TypeError"))
    );
    assert_eq!(
        origin(&files, "src/index.ts", "fail(Kind.A)"),
        ("src/index.ts".to_owned(), 9, column(line[8], "fail<Kind>"))
    );
    assert_eq!(origin(&files, "src/lib/fail.ts", "new Error"), ("src/lib/fail.ts".to_owned(), 3, 18));
}

#[test]
fn maps_name_files_and_do_not_repeat_them() {
    let bundle = compile_sources(&sources(&[("src/index.ts", THROWS), ("src/lib/fail.ts", FAILS)])).unwrap().bundle;
    for module in &bundle.modules {
        let map = SourceMap::from_slice(module.source_map.as_bytes()).unwrap();
        assert_eq!(map.sources().collect::<Vec<_>>(), [module.path.as_str()]);
        assert!(!module.source_map.contains("interface"), "{}", module.source_map);
    }
}

#[test]
fn a_bundlers_own_source_map_is_followed_to_the_authors_files() {
    // What `src/fail.ts` and `src/index.ts` were bundled to; the map is of lines.
    let mut map = sourcemap::SourceMapBuilder::new(None);
    for (line, (from, source)) in
        [(2, "../src/fail.ts"), (9, "../src/index.ts"), (10, "../src/index.ts")].iter().enumerate()
    {
        map.add(u32::try_from(line).unwrap(), 0, *from, 4, Some(source), None, false);
    }
    let url = map.into_sourcemap().to_data_url().unwrap();
    let bundled = format!(
        "const fail = () => {{ throw new Error('boom') }};\nconst untold = 1;\nexport function execute() {{ fail(); }}\n//# sourceMappingURL={url}\n"
    );
    let files = [("src/index.js", bundled.as_str())];
    assert_eq!(origin(&files, "src/index.js", "new Error"), ("src/fail.ts".to_owned(), 3, 5));
    assert_eq!(origin(&files, "src/index.js", "fail();"), ("src/index.ts".to_owned(), 11, 5));
}
