//! What the help of a verb teaches besides its arguments: what it does in detail, examples, and its JSON form. One table, from
//! which come `--help`, the man pages and docs/cli.md; a test parses every example.

use clap::Command;

/// What is taught of a verb.
pub(crate) struct Lesson {
    /// The verb with its sub-verbs: `flow attach`.
    pub(crate) verb: &'static str,
    /// What it does, where one sentence does not say it all.
    pub(crate) more: &'static str,
    /// Lines to type.
    pub(crate) examples: &'static [&'static str],
    /// What `--json` prints.
    pub(crate) json: &'static str,
}

const fn lesson(
    verb: &'static str,
    more: &'static str,
    examples: &'static [&'static str],
    json: &'static str,
) -> Lesson {
    Lesson { verb, more, examples, json }
}

/// One for every verb, in the order of the help.
pub(crate) const LESSONS: &[Lesson] = &[
    lesson(
        "dev",
        "Ends on SIGINT or SIGTERM. Everything is in the data folder; `addresses.json` in it says where it listens. It makes no \
         tenant, but with --watch the one that it publishes to. There the versions are patches, whatever action.toml says, and a major one \
         where the schema asks for it.",
        &[
            "sluice dev",
            "sluice dev --data /tmp/sluice --control-addr 127.0.0.1:0",
            "sluice dev --watch actions --tenant acme",
        ],
        "`{control, executor, admin, data}` when it is up; with --watch then a line for each save: `{tenant, slug, version, created, pinned: \
         [{flow, attachment, revision}], error}`",
    ),
    lesson(
        "init",
        "The folder gives the slug unless --slug does. On a terminal it asks for what is not given. The package \
         passes its own test; that of npm-bundle once it is built.",
        &["sluice init my-action", "sluice init geo --starter geo-block --slug block-abroad"],
        "`{dir, slug, starter, files}`",
    ),
    lesson(
        "test",
        "Compiles in a child process and runs in the same sandbox, with the same limits and checks, as an executor. Without --input \
         it runs the cases of tests/*.json, and exits 1 where one fails. No server is ever asked: what fetch is answered, and the values of \
         secrets, are in the case, or in the files of --http and --secrets. Counters and kv are in memory, and empty when a case or an input begins.",
        &[
            "sluice test my-action",
            "sluice test my-action --watch",
            "sluice test my-action --coverage",
            "sluice test my-action --input input.json --trigger post-login --config config.json",
            "sluice test my-action --input input.json --secrets secrets.json --http http.json",
        ],
        "without --input `{cases: [{name, passed, expected, got, file, step, differences: [{pointer, expected, got}], refused, cpu_us, \
         wall_us, memory_bytes, logs}], code_bytes, logs}`, with --coverage also `coverage: {lines, ran, files: [{file, lines, ran, missed}]}`; with --input R. With --watch a line for each time",
    ),
    lesson(
        "action publish",
        "Runs the package's cases first, and says what changes against the newest version. On a terminal it asks before a \
         version that may reach more than the one before: --yes answers. Publishes to every tenant named, whatever became of those before.",
        &[
            "sluice action publish my-action",
            "sluice action publish my-action --bump minor --yes",
            "sluice action publish my-action --version 2.0.0 --tenant acme --tenant globex",
        ],
        "`{results: [{tenant, slug, version, created, digest, warnings, error}]}`",
    ),
    lesson(
        "action list",
        "",
        &["sluice action list"],
        "entries `{slug, name, kind, triggers, attached, newest}`; `attached` is the number of slots",
    ),
    lesson(
        "action show",
        "",
        &["sluice action show domain-check", "sluice action show domain-check@1.2.0"],
        "an entry of `action list` and `{etag, description, version: V, schema}`, V as in `action versions`",
    ),
    lesson(
        "action deprecate",
        "",
        &["sluice action deprecate domain-check@1.0.0", "sluice action deprecate domain-check@1.0.0 --undo"],
        "a mark",
    ),
    lesson(
        "action yank",
        "",
        &["sluice action yank domain-check@1.0.0", "sluice action yank domain-check@1.0.0 --undo"],
        "a mark",
    ),
    lesson(
        "action revoke",
        "What is attached ends as `revoked`, by its on_unavailable policy.",
        &["sluice action revoke domain-check@1.0.0"],
        "a mark",
    ),
    lesson(
        "action delete",
        "Refused (`ACTION_IN_USE`) while a newest revision attaches it. What executable revisions pin stays. A slug used again goes \
         on counting versions.",
        &["sluice action delete domain-check"],
        "`{slug, newest}`",
    ),
    lesson(
        "action versions",
        "",
        &["sluice action versions domain-check"],
        "entries `{version, name, triggers, outcomes, limits: {cpu_ms, wall_ms}, grants: {hosts, hosts_from_config, \
         secrets, secrets_from_config, capabilities}, digest, published_at, published_by, deprecated, yanked, \
         revoked, etag}`",
    ),
    lesson("template list", "", &["sluice template list"], "entries as in `action list`"),
    lesson(
        "template show",
        "For people it is the form that `flow attach` asks; `schema` is that of the version that is named, or else of the highest.",
        &["sluice template show domain-allowlist", "sluice template show platform/rate-limit-by-ip@1.0.0"],
        "`{slug, name, versions, triggers, schema}`",
    ),
    lesson("flow create", "", &["sluice flow create login"], "a save"),
    lesson(
        "flow attach",
        "On a terminal, without --config and --json, it asks for the config field by field, checks each answer at once, shows the whole \
         and asks before it saves; Ctrl-C or Ctrl-D leaves, and nothing is saved. Anywhere else nothing is asked.",
        &[
            "sluice flow attach login --trigger post-login --action domain-check@1.2.0 --config config.json",
            "sluice flow attach login --trigger post-login --action domain-check --position 1 --on-error continue",
        ],
        "a save",
    ),
    lesson(
        "flow pin",
        "The config stays unless another is given; either is checked against the version's schema.",
        &["sluice flow pin login at-x7m2 --version 1.3.0"],
        "a save",
    ),
    lesson(
        "flow update",
        "",
        &[
            "sluice flow update login at-x7m2 --config config.json --wall-ms 250",
            "sluice flow update login at-x7m2 --enabled false",
        ],
        "a save",
    ),
    lesson("flow detach", "Sign-ins that have begun keep it.", &["sluice flow detach login at-x7m2"], "a save"),
    lesson("flow slot", "", &["sluice flow slot login --trigger post-login --budget-ms 1500"], "a save"),
    lesson(
        "flow history",
        "Revisions of former flows of the slug stand in it too.",
        &["sluice flow history login --limit 20"],
        "entries `{revision, saved_at, principal, kind, trigger, attachment, slug, version, rolled_back_to, replaced_at, executable_until, \
         executable}`",
    ),
    lesson(
        "flow diff",
        "",
        &["sluice flow diff login", "sluice flow diff login --from 3 --to 7"],
        "`{flow, from, to, changes: [{kind, trigger, attachment, slug, fields, from, to}]}`",
    ),
    lesson(
        "flow rollback",
        "What was yanked since is a warning; what was revoked or deleted is a refusal.",
        &["sluice flow rollback login --revision 3"],
        "a save",
    ),
    lesson(
        "flow delete",
        "Nobody finds it any more; its revisions stay executable for 24 h to who names them. Made again it goes on counting revisions.",
        &["sluice flow delete login"],
        "`{flow, revision, executable_until, warnings, rollout}`",
    ),
    lesson(
        "flow show",
        "",
        &["sluice flow show login", "sluice flow show login --revision 3"],
        "`{flow, revision, etag, slots: [{trigger, budget_ms, worst_case_ms, attachments: [{attachment, slug, version, position, enabled, config, \
         on_error, on_unavailable, on_counters_unavailable, wall_ms}]}], warnings}`",
    ),
    lesson(
        "flow list",
        "",
        &["sluice flow list"],
        "entries `{flow, revision, etag, triggers, attachments, updated_at}`",
    ),
    lesson(
        "execute",
        "",
        &[
            "sluice execute login --trigger post-login --input input.json",
            "sluice execute login --trigger pre-token-issue --input input.json --revision 7 --logs",
        ],
        "`{verdict, decided_by, claims, state, pending, flow_revision, results: [R], execution_id}`",
    ),
    lesson(
        "audit list",
        "",
        &[
            "sluice audit list --kind flow.action_executed --outcome block --since 15m",
            "sluice audit list --sign-in s-81 --json",
        ],
        "entries, see below",
    ),
    lesson("tenant create", "", &["sluice tenant create acme"], "`{tenant, created_at, break_glass, etag}`"),
    lesson("tenant list", "", &["sluice tenant list"], "entries `{tenant, created_at, break_glass, etag}`"),
    lesson("tenant show", "", &["sluice tenant show acme"], "`{tenant, created_at, break_glass, etag}`"),
    lesson(
        "tenant break-glass",
        "On: the tenant's custom Actions are skipped, in sign-ins that have begun too.",
        &["sluice tenant break-glass on", "sluice tenant break-glass off"],
        "`{tenant, break_glass, etag, rollout}`",
    ),
    lesson(
        "tenant redirect-origins add",
        "",
        &["sluice tenant redirect-origins add https://app.example.com"],
        "`{tenant, origin, allowed}`",
    ),
    lesson(
        "tenant redirect-origins remove",
        "",
        &["sluice tenant redirect-origins remove https://app.example.com"],
        "`{tenant, origin, allowed}`",
    ),
    lesson("tenant redirect-origins list", "", &["sluice tenant redirect-origins list"], "entries `{origin}`"),
    lesson(
        "secret set",
        "The value is asked for on a terminal, or read from --value-file or standard input, where one newline at the end is dropped; \
         it is never an argument. 1 byte to 8 KiB of UTF-8. Runs that begin once the executors have it read it: nothing is published or \
         attached anew. Nobody is ever shown it again.",
        &[
            "sluice secret set API_KEY",
            "sluice secret set API_KEY --value-file key.txt",
            "sluice secret set API_KEY --value-file -",
        ],
        "`{name, version, created_at, updated_at, updated_by, etag, rollout: {have, waiting}}`",
    ),
    lesson(
        "secret list",
        "",
        &["sluice secret list"],
        "entries `{name, version, created_at, updated_at, updated_by, etag, used_by}`: `used_by` the flows whose newest revisions need it, \
         at most 20",
    ),
    lesson(
        "secret remove",
        "Runs that read it end as unavailable from then on, until it is set again; the flows that need it are warned of.",
        &["sluice secret remove API_KEY"],
        "`{name, version, warnings, rollout: {have, waiting}}`",
    ),
    lesson(
        "delivery list",
        "What Actions emit is delivered at least once, under an id that stays. A page may have fewer than asked for where there are filters.",
        &["sluice delivery list", "sluice delivery list --state dead --action audit-hook"],
        "entries `{id, endpoint, type, format, state, made_at, due_at, ended_at, attempts, max_attempts, last_attempt: {at, duration_ms, \
         status, failure}, dead_reason, told_by, flow, trigger, attachment, slug, version, execution_id, etag}`, null where it does not \
         apply: `state` is pending, delivered or dead; `dead_reason` exhausted, endpoint_gone or endpoint_disabled; `told_by` the delivery \
         whose message stood for this one too",
    ),
    lesson(
        "delivery show",
        "",
        &["sluice delivery show msg_aeh3kq7zzm2y5s6w4x2qbd7u5e"],
        "a delivery with `{all_attempts: [{at, duration_ms, status, failure}], body, signing_secret, header_names}`",
    ),
    lesson(
        "delivery resend",
        "It goes at once, under the same id, whatever became of it, with all its attempts anew; one that is pending only does not wait any \
         longer. Refused while its endpoint is disabled.",
        &["sluice delivery resend msg_aeh3kq7zzm2y5s6w4x2qbd7u5e"],
        "the delivery",
    ),
    lesson(
        "delivery endpoints",
        "An endpoint is a URL, or the secret that holds one. One that answered 410, or as Slack 404, is disabled: what is emitted to it is \
         dead at once.",
        &["sluice delivery endpoints"],
        "entries `{endpoint, made_at, enabled, disabled_at, status, delivery, etag}`, null where it does not apply",
    ),
    lesson(
        "delivery enable",
        "Setting the secret of an endpoint enables it too. What is dead stays so until it is sent again.",
        &["sluice delivery enable https://hooks.example.com/audit", "sluice delivery enable secret:SLACK_URL"],
        "the endpoint",
    ),
    lesson(
        "executor list",
        "For the platform's operator.",
        &["sluice executor list"],
        "entries `{executor, epoch, version, engine: {engine, base_image}, subscription: {kind, tenants, count}, connected_at, cursor, lag: \
         {commits, ms}, nacks, last_nack: {time, cursor, cause, reason, resource} | null, missing_modules: [{tenant, slug, version, reason}], \
         missing_module_count}`",
    ),
    lesson(
        "bench run",
        "Without a rate a closed loop; with one an open loop, whose latencies count from when a call was due, so that a server \
         that stalls cannot hide its queue.",
        &["sluice bench run --flow login --trigger post-login --input input.json --callers 8 --seconds 10"],
        "`{url, callers, connections, rate, seconds, calls, calls_per_second, latency_us: {p50, p90, p99, p999, max, mean}, verdicts, \
         errors}`: calls and latencies are of calls that were answered, `errors` counts the others by code",
    ),
    lesson("bench floor", "", &["sluice bench floor --listen 127.0.0.1:0"], "`{address}` when it is up"),
    lesson(
        "bench compare",
        "The floor, in a process of its own and with the executor's own answer, and the executor in turns: calls a second of many \
         callers, p50 of one. Medians over the rounds.",
        &["sluice bench compare --flow login --trigger post-login --input input.json --rounds 5 --seconds 3"],
        "`{callers, floor_calls_per_second, executor_calls_per_second, ratio, floor_p50_us, executor_p50_us, over_us, failed, rounds}`",
    ),
    lesson(
        "config show",
        "",
        &["sluice config show", "sluice config show --profile staging"],
        "`{profile, file, control_url: S, executor_url: S, tenant: S, token: S}`; S is `{value | null, source}`, source `environment`, \
         `profile`, `default` or `none`, and a token's value `(set)`",
    ),
    lesson(
        "config list",
        "",
        &["sluice config list"],
        "entries `{profile, current, control_url, executor_url, tenant, has_token}`",
    ),
    lesson(
        "config set",
        "A token is never an argument, which others could see: it is asked for on a terminal, or read from a file.",
        &[
            "sluice config set tenant acme",
            "sluice config set control-url http://127.0.0.1:7070 --profile staging",
            "sluice config set token --value-file token.txt",
        ],
        "the profile's entry of `config list`",
    ),
    lesson("config unset", "", &["sluice config unset tenant"], "the profile's entry of `config list`"),
    lesson("config use", "", &["sluice config use staging"], "the profile's entry of `config list`"),
    lesson("config delete", "", &["sluice config delete staging"], "`{profile, deleted}`"),
    lesson(
        "completions",
        "Print them into the folder where your shell looks for them.",
        &[
            "sluice completions bash > ~/.local/share/bash-completion/completions/sluice",
            "sluice completions zsh > ~/.zfunc/_sluice",
            "sluice completions fish > ~/.config/fish/completions/sluice.fish",
        ],
        "the script, as without it",
    ),
    lesson("man", "One page for every verb.", &["sluice man ~/.local/share/man/man1"], "`{dir, files}`"),
];

/// The lesson of a verb.
pub(crate) fn of(verb: &str) -> Option<&'static Lesson> {
    LESSONS.iter().find(|lesson| lesson.verb == verb)
}

/// Puts the lessons into the help of the verbs.
pub(crate) fn teach(command: Command) -> Command {
    command.mut_subcommands(|sub| teach_under("", sub))
}

fn teach_under(path: &str, command: Command) -> Command {
    let verb = format!("{path}{}", command.get_name());
    let command = match of(&verb) {
        Some(lesson) => command.after_help(lesson.help()),
        None => command,
    };
    command.mut_subcommands(|sub| teach_under(&format!("{verb} "), sub))
}

impl Lesson {
    /// What stands under the arguments in the help.
    fn help(&self) -> String {
        let more = if self.more.is_empty() { String::new() } else { format!("{}\n\n", self.more.replace('`', "")) };
        let examples: String = self.examples.iter().map(|example| format!("\n  {example}")).collect();
        format!("{more}Examples:{examples}\n\nJSON: {}", self.json.replace('`', ""))
    }
}
