#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

mod maps;
mod refusals;

/// A package of these sources.
fn sources(files: &[(&str, &str)]) -> Sources {
    let entry =
        files.iter().map(|(path, _)| *path).find(|path| path.starts_with("src/index.")).unwrap_or("src/index.ts");
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Sources { entry: entry.to_owned(), files, counting: false }
}

/// The code of each module that these sources compile to.
fn compiled(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    let bundle = compile_sources(&sources(files)).unwrap().bundle;
    bundle.modules.into_iter().map(|module| (module.path, module.code)).collect()
}

/// What a single file compiles to, `execute` aside.
fn code(text: &str) -> String {
    let files = compiled(&[("src/index.ts", &format!("{text}\nexport function execute() {{}}\n"))]);
    files["src/index.ts"].replace("export function execute() {}\n", "")
}

fn mistakes(files: &[(&str, &str)]) -> Vec<String> {
    compile_sources(&sources(files)).unwrap_err().iter().map(ToString::to_string).collect()
}

const EXECUTE: &str = "export async function execute(input) { return { kind: 'continue' } }";

#[test]
fn types_are_stripped() {
    assert_eq!(
        code("type A = string; interface B { a: A }\nconst b = { a: 'x' } satisfies B as B; void b!"),
        "const b = { a: \"x\" };\nvoid b;\n"
    );
    assert_eq!(
        code("declare const x: number; abstract class C<T> { declare y: T; abstract m(): void }; void C"),
        "class C {}\n;\nvoid C;\n"
    );
}

#[test]
fn enums_namespaces_and_parameter_properties_work() {
    let out = code("export enum E { A = 1, B = A << 1 }\nexport const enum C { X = 'x' }");
    assert!(out.contains("E[E[\"A\"] = 1] = \"A\"") && out.contains("C[\"X\"] = \"x\""), "{out}");
    let out = code("export namespace N { export const a = 1; export function f() { return a } }");
    assert!(out.contains("N.a") || out.contains("_N.a"), "{out}");
    let out = code("export class P { constructor(private readonly a: string, public b = 1) {} }");
    assert!(out.contains("this.a = a;") && out.contains("this.b = b;"), "{out}");
}

#[test]
fn class_fields_stay_as_the_standard_has_them() {
    let out =
        code("export class P { a; b = 1; static c = 2; #d = 3; static { P.c = this.c } m(o) { return #d in o } }");
    for part in ["a;", "b = 1;", "static c = 2;", "#d = 3;", "static {", "#d in o"] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn modern_syntax_is_left_alone() {
    let text = "export async function* g(a) { a?.b ?? (a ||= 2n ** 3n); for await (const x of a) yield { ...x }; await 0 }\n\
                export const r = /(?<y>\\d)/dv, l = label`${1}`, k = [, ...\"\u{1F600}\"];\nfunction label() {}";
    let out = code(text);
    for part in ["async function* g", "a?.b ??", "||=", "2n ** 3n", "for await", "...x", "/(?<y>\\d)/dv", "label`${1}`"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(!out.contains("import"), "no helper is imported: {out}");
}

#[test]
fn javascript_is_taken_as_it_is() {
    let files = compiled(&[
        ("src/index.js", "import { unused } from './b.mjs'\nexport function execute() {}"),
        ("src/b.mjs", "export const unused = 1"),
    ]);
    // Nobody elides an import from JavaScript: it runs what it imports.
    assert_eq!(files["src/index.js"], "import { unused } from \"src/b.mjs\";\nexport function execute() {}\n");
    assert!(files.contains_key("src/b.mjs"));
}

#[test]
fn specifiers_become_exact_paths() {
    let entry = "import { a } from './a'\nimport { b } from './b.js'\nimport { c } from './lib'\nimport d from './d.json' with { type: 'json' }\n\
                 export * from './lib/e.mts'\nexport * as f from '../src/f.js'\nimport './g'\nexport { execute } from './execute'\nvoid [a, b, c, d]";
    let files = compiled(&[
        ("src/index.ts", entry),
        ("src/a.ts", "export const a = 1"),
        ("src/b.ts", "export const b = 1"),
        ("src/lib/index.ts", "export { c } from '../c'"),
        ("src/lib/e.mts", "export const e = 1"),
        ("src/c.ts", "export const c = 1"),
        ("src/d.json", "{\"__proto__\": 1}"),
        ("src/f.js", "export const f = 1"),
        ("src/g/index.js", "globalThis.g = 1"),
        ("src/execute.ts", EXECUTE),
        ("src/unused.ts", "this is not even read"),
    ]);
    assert_eq!(
        files["src/index.ts"],
        "import { a } from \"src/a.ts\";\nimport { b } from \"src/b.ts\";\nimport { c } from \"src/lib/index.ts\";\n\
         import d from \"src/d.json\";\nexport * from \"src/lib/e.mts\";\nexport * as f from \"src/f.js\";\nimport \"src/g/index.js\";\n\
         export { execute } from \"src/execute.ts\";\nvoid [\n a,\n b,\n c,\n d\n];\n"
    );
    assert_eq!(files["src/lib/index.ts"], "export { c } from \"src/c.ts\";\n");
    assert_eq!(files["src/d.json"], "export default JSON.parse(\"{\\\"__proto__\\\": 1}\");\n");
    assert!(!files.contains_key("src/unused.ts"));
}

#[test]
fn imports_of_types_are_gone() {
    let files = compiled(&[
        (
            "src/index.ts",
            "import type { A } from './types'\nimport { type B, C } from './types'\nimport { D } from 'some-types'\n\
                          import type { E } from './missing'\nexport const execute = (x: A & B & C & D & E) => x",
        ),
        ("src/types.ts", "export type A = 1; export type B = 1; export interface C {}"),
    ]);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["src/index.ts"]);
    assert_eq!(files["src/index.ts"], "export const execute = (x) => x;\n");
}

#[test]
fn types_that_are_exported_again_like_values_are_gone_too() {
    let files = compiled(&[
        ("src/index.ts", "export { T, v, Only } from './barrel'\nexport { execute } from './barrel'"),
        (
            "src/barrel.ts",
            "import { T } from './types'\nimport { U, v } from './more'\nexport { T, U, v }\nexport * from './types'\n\
                           export { Only } from './only'\nexport { execute } from './more'",
        ),
        ("src/types.ts", "export interface T {}"),
        ("src/more.ts", "export type U = 1; export const v = 2; export const execute = () => v"),
        ("src/only.ts", "export type Only = 1"),
    ]);
    assert_eq!(
        files["src/index.ts"],
        "export { v } from \"src/barrel.ts\";\nexport { execute } from \"src/barrel.ts\";\n"
    );
    assert!(
        !files["src/barrel.ts"].contains('T') && !files["src/barrel.ts"].contains("Only"),
        "{}",
        files["src/barrel.ts"]
    );
    assert!(!files.contains_key("src/only.ts"), "nothing needs it when it runs");
}

#[test]
fn declaration_files_have_only_types() {
    let files = compiled(&[
        ("src/index.ts", "import { T } from './api'\nexport { T } from './api'\nexport const execute = (t: T) => t"),
        ("src/api.d.ts", "export interface T {}"),
    ]);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["src/index.ts"]);
    assert_eq!(files["src/index.ts"], "export const execute = (t) => t;\n");
}

#[test]
fn cycles_are_fine() {
    let files = compiled(&[
        ("src/index.ts", "export * from './a'\nexport { execute } from './b'"),
        ("src/a.ts", "export * from './b'\nexport const a = () => b()\nimport { b } from './b'"),
        (
            "src/b.ts",
            "export * from './a'\nimport { a } from './a'\nexport const b = () => a()\nexport const execute = b",
        ),
    ]);
    assert_eq!(files.len(), 3);
}

#[test]
fn execute_is_found_however_it_is_exported() {
    for entry in [
        "export function execute() {}",
        "export const execute = async () => {}",
        "export let execute; execute = () => {}",
        "export let execute = null\nexecute = () => {}",
        "export interface execute {}\nexport const execute = (() => {}) as execute",
        "export function execute(a: string): void\nexport function execute(a) {}",
        "function run() {}\nexport { run as execute }",
        "export { run as execute } from './b'",
        "export * from './b'",
        "import { run } from './b'\nexport { run as execute }",
        "import { run } from './b'\nexport const execute = run",
        "export const { execute } = { execute() {} }",
        "const execute = wrap(() => {})\nexport { execute }\nfunction wrap(f) { return f }",
    ] {
        let b = "export function run() {}\nexport function execute() {}";
        assert!(compile_sources(&sources(&[("src/index.ts", entry), ("src/b.ts", b)])).is_ok(), "{entry}");
    }
}

#[test]
fn the_same_package_gives_the_same_bytes() {
    let files = [
        ("src/index.ts", "export * from './b'\nexport * from './a'"),
        ("src/a.ts", EXECUTE),
        ("src/b.ts", "export enum E { A }"),
    ];
    let first = compile_sources(&sources(&files)).unwrap().bundle.to_bytes();
    for _ in 0..5 {
        assert_eq!(compile_sources(&sources(&files)).unwrap().bundle.to_bytes(), first);
    }
}

#[test]
fn a_bundle_that_is_too_large_is_refused() {
    let table = format!("export default {:?}\n", "x".repeat(700_000));
    let entry = format!("import a from './a'\nimport b from './b'\nvoid a, b\n{EXECUTE}");
    let found = mistakes(&[("src/index.ts", &entry), ("src/a.ts", &table), ("src/b.ts", &table)]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("bytes of JavaScript; at most 1048576 are taken"), "{found:?}");
}

#[test]
fn a_thousand_mistakes_are_cut_short() {
    let text = format!("{EXECUTE}\n{}", "import('x');\n".repeat(1000));
    let found = mistakes(&[("src/index.ts", &text)]);
    assert_eq!(found.len(), MAX_DIAGNOSTICS + 1);
    assert!(found.contains(&"error: 900 more mistakes are not shown".to_owned()));
}

#[test]
fn counting_code_counts_where_its_author_wrote_statements() {
    let text = "import { helper } from './helper'\ntype T = string\n\nexport async function execute(input) {\n  \
                if (input.user) return helper(input)\n  else for (const x of [1])\n    void x\n  outer: while (true) break outer\n  \
                const f = () => { throw 1 }\n}\n";
    let helper = "export const helper = (x) => {\n  switch (x) { case 1: return 2 }\n  return 3\n}\nexport function unused() {}\n";
    let counting = Sources { counting: true, ..sources(&[("src/index.ts", text), ("src/helper.ts", helper)]) };
    let Compiled { bundle, lines } = compile_sources(&counting).unwrap();
    assert_eq!(bundle.entry, counters::COUNTING_ENTRY);
    let of = |file: &str| {
        let mut found: Vec<u32> = lines.iter().filter(|line| line.file == file).map(|line| line.line).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(of("src/index.ts"), [5, 5, 6, 7, 8, 8, 9, 9]);
    assert_eq!(of("src/helper.ts"), [1, 2, 2, 3]);
    let code = &bundle.modules.iter().find(|module| module.path == "src/index.ts").unwrap().code;
    for number in 0..lines.len() {
        let counters: usize = bundle.modules.iter().map(|m| m.code.matches(&format!("[{number}] = 1")).count()).sum();
        assert_eq!(counters, 1, "{code}");
    }
}

#[test]
fn names_that_are_declared_or_found_more_than_once_and_mean_one_thing_are_fine() {
    for text in [
        "export enum E { A }\nexport enum E { B = 1 }",
        "export namespace N { export const a = 1 }\nexport namespace N { export const b = 1 }",
        "export class C {}\nexport namespace C { export const a = 1 }",
        "export function f(a: string): void\nexport function f(a: number): void\nexport function f(a: any) {}",
        "export default function f(a: string): void\nexport default function f(a: any) {}",
        "export type A = 1\nexport const A = 1",
        "type A = 1; const A = 1; export { A }",
        "export var v = 1; var v = 2",
        "declare module 'x' { import { a } from 'y'; export { a }; export default a }",
        "import type { T } from './nowhere'\nexport type { T }",
        "import { T } from './x'\nexport { T }",
        "export * as x from './x'\nexport * from './x'",
        "export { x } from './x'\nexport * from './y'",
        "import { x } from './both'\nvoid x",
    ] {
        let files = [
            ("src/index.ts", &*format!("{text}\n{EXECUTE}")),
            ("src/x.ts", "export type T = 1; export const x = 1"),
            ("src/y.ts", "export const x = 2"),
            ("src/both.ts", "export * from './again'; export * from './x'"),
            ("src/again.ts", "export { x } from './x'"),
        ];
        assert!(compile_sources(&sources(&files)).is_ok(), "{text}: {:?}", mistakes(&files));
    }
}
