//! What an author may know from the web or from Node.js and Actions do not have: a name that is not defined is told with what
//! there is instead. docs/actions.md lists the same, and the tests beside this file hold it against that.

/// A row of the docs: names, and what there is instead, where there is anything.
pub(super) struct Row {
    pub(super) names: &'static [&'static str],
    pub(super) instead: Option<&'static str>,
}

const fn row(names: &'static [&'static str], instead: &'static str) -> Row {
    Row { names, instead: Some(instead) }
}

const fn without(names: &'static [&'static str]) -> Row {
    Row { names, instead: None }
}

/// The rows of the docs, in their order.
pub(super) const ROWS: &[Row] = &[
    row(&["Intl"], "toLocaleString and localeCompare, which know one locale"),
    without(&["Atomics", "Temporal", "WebAssembly"]),
    row(
        &[
            "ReadableStream",
            "WritableStream",
            "TransformStream",
            "ByteLengthQueuingStrategy",
            "CountQueuingStrategy",
            "CompressionStream",
            "DecompressionStream",
            "TextDecoderStream",
            "TextEncoderStream",
        ],
        "text(), json(), bytes() or arrayBuffer(), as a body is there in whole",
    ),
    row(&["Blob", "File", "FileReader"], "an ArrayBuffer or a typed array"),
    row(&["FormData"], "URLSearchParams; a multipart body is text that you put together"),
    row(&["WebSocket", "EventSource", "XMLHttpRequest"], "fetch"),
    row(&["URLPattern"], "a regular expression over new URL(url).pathname"),
    row(&["localStorage", "sessionStorage", "indexedDB", "caches"], "kv"),
    row(&["Buffer"], "Uint8Array, its fromBase64 and fromHex, TextEncoder, atob and btoa"),
    row(&["process", "Deno", "Bun"], "input.context.config and secrets"),
    row(&["require", "module", "exports"], "import and export"),
    row(&["__dirname", "__filename"], "an import of a module or of JSON, as there are no files"),
    row(&["global", "window"], "globalThis"),
    row(&["setImmediate", "requestAnimationFrame"], "queueMicrotask, or setTimeout with 0"),
    row(&["clearImmediate", "cancelAnimationFrame"], "clearTimeout"),
    row(&["alert", "confirm", "prompt"], "console, or the user_message of an outcome"),
    row(&["document", "location", "history"], "the input, as there is no page"),
    row(&["addEventListener", "removeEventListener", "dispatchEvent"], "those of an EventTarget of your own"),
    row(&["ErrorEvent", "MessageEvent", "PromiseRejectionEvent"], "Event and CustomEvent"),
    without(&["Worker", "MessageChannel", "MessagePort", "BroadcastChannel"]),
];

/// What to say behind the message of a ReferenceError.
pub(super) fn hint(message: &str) -> Option<String> {
    let name = message.strip_suffix(" is not defined")?;
    let row = ROWS.iter().find(|row| row.names.contains(&name))?;
    let instead = row.instead.map(|instead| format!(": use {instead}")).unwrap_or_default();
    Some(format!("Actions have no {name}{instead}"))
}
