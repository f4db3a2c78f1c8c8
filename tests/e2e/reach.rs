//! What Actions reach beyond their own memory, over separate processes: HTTP to declared hosts alone, secrets that nothing
//! repeats, counters that executors share through a real Redis and divide while it is away, kv.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]

use serde_json::{Value, json};
use sluice_api::{
    convert::json::to_struct,
    executor::v1::{ExecuteRequest, execution_service_client::ExecutionServiceClient},
    types::v1::{Input, User},
};
use sluice_tests::{
    attempts::Attempts,
    cluster::{Cluster, TENANT},
    load::channel,
    redis::Redis,
    rounds,
    third_party::{HOST, TOGETHER, ThirdParty},
    until,
};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where `localhost` is: on many machines it has an address of IPv6 too, where nobody listens.
const LOOPBACK: &[&str] = &["127.0.0.1/32", "::1/128"];

/// How the one attachment of a run failed.
fn failure(answer: &Value) -> (&str, &str) {
    let failure = &answer["results"][0]["failure"];
    (failure["reason"].as_str().unwrap_or("it did not fail"), failure["message"].as_str().unwrap_or_default())
}

/// Nothing of this is in any of these texts, or on any disk of the cluster.
fn nowhere(cluster: &Cluster, canaries: &[&str], said: &[String]) {
    for canary in canaries {
        for text in said {
            assert!(!text.contains(canary), "{canary}: {text}");
        }
        assert_eq!(cluster.holding(canary), [""; 0], "{canary}");
    }
}

/// What asks is in the input and never in the source, which is on disk.
const ASKS_TWICE: &str = r"
export async function execute(input: Input): Promise<Outcome> {
  const { url, query, header, body } = input.user!.app_metadata as Record<string, string>
  const ask = async (n: number) => {
    const response = await fetch(`${url}${n}?q=${query}`, { method: 'POST', headers: { 'x-asked': header }, body })
    return { status: response.status, ...(await response.json<{ plan: string }>()) }
  }
  const [first, second] = await Promise.all([ask(1), ask(2)])
  return { kind: 'continue', state: { plans: [first.plan, second.plan], statuses: [first.status, second.status] } }
}
";

const TELLS_THE_CODE: &str = r"
export async function execute(input: Input): Promise<Outcome> {
  try {
    await fetch((input.user!.app_metadata as { url: string }).url)
    return { kind: 'continue' }
  } catch (error) {
    const { message, cause } = error as Error & { cause: { code: string } }
    return { kind: 'continue', reason_code: cause.code, state: { message } }
  }
}
";

const ASKS: &str = r"
export async function execute(input: Input): Promise<Outcome> {
  await fetch((input.user!.app_metadata as { url: string }).url)
  return { kind: 'continue' }
}
";

#[test]
fn a_declared_host_is_asked_and_audited_and_no_other() {
    let folder = TempDir::new().unwrap();
    let api = ThirdParty::start(&json!({"plan": "gold", "note": "canary-answer-5c1d"}), "canary-replied-0b7e");
    let settings = [LOOPBACK, &[], &["10.0.0.0/8"]].map(|networks| api.settings(folder.path(), networks));
    let [open, closed, elsewhere] = [0, 1, 2];
    let cluster = Cluster::start(&settings);
    let declared = format!("hosts = [\"{HOST}\"]");
    cluster.action("twice", &declared, ASKS_TWICE);
    cluster.action("code", &declared, TELLS_THE_CODE);
    cluster.action("stray", "hosts = [\"api.example.com\"]", ASKS);

    // Two requests at once: each is answered only while the other is there.
    let ask = json!({
        "url": api.url(&format!("{TOGETHER}canary-path-77aa/")), "query": "canary-query-91f3",
        "header": "canary-header-c2d8", "body": "canary-body-e640",
    });
    let answer = until("two requests at once are answered", || {
        let (_, before) = (api.asked(), api.connections());
        let answer = cluster.run(open, "twice", &ask);
        // A machine that stands still for seconds is asked again.
        if failure(&answer).0 == "wall_limit" {
            return None;
        }
        let more = api.connections() - before;
        assert!(more <= 2 && api.connections() >= 2, "one for each, or what was kept: {more}");
        Some(answer)
    });
    assert_eq!(answer["state"], json!({"plans": ["gold", "gold"], "statuses": [200, 200]}), "{answer}");
    let mut asked = api.asked();
    asked.sort_by(|a, b| a.target.cmp(&b.target));
    for (number, asked) in [1, 2].iter().zip(&asked) {
        assert_eq!(asked.target, format!("{TOGETHER}canary-path-77aa/{number}?q=canary-query-91f3"));
        assert_eq!((asked.header("x-asked"), asked.body.as_str()), (Some("canary-header-c2d8"), "canary-body-e640"));
    }
    assert_eq!(asked.len(), 2);

    // Audit has each, and how it went.
    let told = cluster.audit(&answer);
    let fetches = told["run"]["fetches"].as_array().unwrap();
    assert_eq!(fetches.len(), 2, "{told}");
    for fetch in fetches {
        let keys: Vec<&String> = fetch.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["duration_us", "failure", "host", "status"], "and nothing else: {fetch}");
        assert_eq!((&fetch["host"], &fetch["status"], &fetch["failure"]), (&json!(HOST), &json!(200), &Value::Null));
        let took = fetch["duration_us"].as_u64();
        assert!(took > Some(0) && took <= told["run"]["wall_us"].as_u64(), "{told}");
    }

    // A host that is not declared is denied by its name, and nobody is connected to.
    let before = api.connections();
    let stray = cluster.run(open, "stray", &json!({"url": api.url("/canary-path-77aa?q=canary-query-91f3")}));
    let (reason, message) = failure(&stray);
    assert_eq!(reason, "capability_denied", "{stray}");
    assert!(message.contains(&format!("the host {HOST} is not declared")), "{message}");
    let told = cluster.audit(&stray);
    let fetch = &told["run"]["fetches"][0];
    assert_eq!(
        (&fetch["host"], &fetch["status"], &fetch["failure"]),
        (&json!(HOST), &Value::Null, &json!("host_not_declared")),
        "{told}"
    );
    assert_eq!(told["failure"]["reason"], "capability_denied");

    // Where the operator allows nothing, or another network, it is refused: by the port, and by what address it is.
    for (executor, code, says) in
        [(closed, "url_refused", "is not allowed"), (elsewhere, "address_refused", "is a loopback address")]
    {
        let answer = cluster.run(executor, "code", &json!({"url": api.url("/canary-path-77aa?q=canary-query-91f3")}));
        let told = cluster.audit(&answer);
        assert_eq!(told["reason_code"], code, "{answer}");
        assert_eq!(told["run"]["fetches"][0]["failure"], code, "{told}");
        let message = answer["state"]["message"].as_str().unwrap();
        assert!(message.contains(HOST) && message.contains(says), "{message}");
    }
    assert_eq!((api.connections(), api.asked().len()), (before, 0), "nobody came");

    // Of what was asked and answered nothing is kept but that.
    let id = answer["execution_id"].as_str().unwrap();
    assert_ne!(cluster.holding(id), [""; 0], "the test looks where audit is");
    let canaries = ["path-77aa", "query-91f3", "header-c2d8", "body-e640", "answer-5c1d", "replied-0b7e"];
    nowhere(&cluster, &canaries, &[cluster.whole_audit()]);
}

const READS_A_KEY: &str = r"
export async function execute(input: Input): Promise<Outcome> {
  const { mode, url } = input.user!.app_metadata as { mode: string, url: string }
  const key = secrets.get('API_KEY')
  switch (mode) {
    case 'log':
      console.log('the key is', key)
      console.error({ headers: { authorization: `Bearer ${key}` } }, btoa(`user:${key}`), encodeURIComponent(key))
      return { kind: 'continue' }
    case 'throw':
      throw new Error(`the API does not take ${key}`)
    case 'say':
      return { kind: 'block', user_message: `No: ${key}`, annotations: { key, short: true } }
    default: {
      const { status } = await fetch(url, { headers: { authorization: `Bearer ${key}` } })
      return { kind: 'continue', state: { status } }
    }
  }
}
";

/// A secret's value with characters that JSON and URLs write in their own ways, and what of it is the same in all of them.
const SECRETS: [(&str, &str); 2] =
    [("cn4ry-Qm9vZ2xl/4f\"1c+e", "cn4ry-Qm9vZ2xl"), ("cn4ry-Zl8xT3hk/7d\"9a+b", "cn4ry-Zl8xT3hk")];

#[test]
fn a_secret_is_used_and_rotated_and_nothing_repeats_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let api = ThirdParty::start(&json!({}), "yes");
    let key_file = folder.path().join("cache.key");
    std::fs::write(&key_file, [7; 32]).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let settings = api.settings(folder.path(), LOOPBACK) + &format!("[secrets]\ncache_key_file = {key_file:?}\n");
    let cluster = Cluster::start(&[settings]);
    let cli = cluster.cli(0);
    let hosts = format!("hosts = [\"{HOST}\"]");
    cluster.action("keyed", &format!("{hosts}\nsecrets = [\"API_KEY\"]"), READS_A_KEY);
    cluster.action("undeclared", &hosts, READS_A_KEY);

    let mut said = Vec::new();
    let run = |mode: &str| cluster.run(0, "keyed", &json!({"mode": mode, "url": api.url("/")}));
    let mut revisions = Vec::new();
    for (number, (value, _)) in SECRETS.iter().enumerate() {
        // The second is the first one's name with another value; nothing is published or attached.
        let set: &[&str] = &["secret", "set", "API_KEY"];
        let from_input: &[&str] = if number == 0 { &[] } else { &["--value-file", "-"] };
        said.push(cli.run_with(&[set, from_input].concat(), &format!("{value}\n")).to_string());
        let bearer = format!("Bearer {value}");
        let sent = until("runs read the new value", || {
            let answer = run("send");
            let asked = api.asked();
            let with_it = asked.last().is_some_and(|asked| asked.header("authorization") == Some(&bearer));
            (with_it && answer["state"] == json!({"status": 200})).then_some(answer)
        });
        revisions.push(sent["flow_revision"].clone());

        let logged = run("log");
        let lines = logged["results"][0]["logs"].to_string();
        assert_eq!(lines.matches("[secret API_KEY]").count(), 4, "{lines}");
        let threw = run("throw");
        assert_eq!(failure(&threw), ("threw", "Error: the API does not take [secret API_KEY]"), "{threw}");
        let blocked = run("say");
        assert_eq!(blocked["decided_by"]["user_message"], "No: [secret API_KEY]", "{blocked}");
        let told = cluster.audit(&blocked);
        assert_eq!(told["run"]["annotations"], json!({"key": "[secret API_KEY]", "short": true}), "{told}");
        let told = cluster.audit(&threw);
        assert_eq!(told["failure"]["message"], "Error: the API does not take [secret API_KEY]", "{told}");
        said.extend([sent, logged, threw, blocked].map(|answer| answer.to_string()));
    }
    assert_eq!(revisions[0], revisions[1], "the flow is as it was");

    let denied = cluster.run(0, "undeclared", &json!({"mode": "send", "url": api.url("/")}));
    let (reason, message) = failure(&denied);
    assert_eq!(reason, "capability_denied", "{denied}");
    assert!(message.contains("the secret API_KEY is not declared"), "{message}");
    assert_eq!(api.asked().len(), 0);

    let removed = cli.run(&["secret", "remove", "API_KEY"]);
    let gone = until("runs do not find it any more", || {
        let answer = run("send");
        (failure(&answer).0 == "unavailable").then_some(answer)
    });
    assert!(failure(&gone).1.contains("API_KEY"), "{gone}");
    said.extend([denied, removed, gone, cli.run(&["secret", "list"])].map(|answer| answer.to_string()));
    said.push(cluster.whole_audit());

    assert_ne!(cluster.holding("API_KEY"), [""; 0], "the test looks where they would be");
    for (value, part) in SECRETS {
        nowhere(&cluster, &[value, part], &said);
    }
}

const COUNTS: &str = r"
export async function execute(input: Input): Promise<Outcome> {
  const { key, limit } = { key: 'all', limit: LIMIT, ...input.user!.app_metadata } as { key: string, limit: number }
  // A window of a month: none ends while the test runs.
  const { allowed } = await counters.take(key, { limit, window_s: 2592000, scope: 'tenant' })
  if (!allowed) return { kind: 'block', error: 'rate_limited', reason_code: 'used_up' }
  return { kind: 'continue', state: { allowed } }
}
";

fn counts(limit: u64) -> String {
    COUNTS.replace("LIMIT", &limit.to_string())
}

const COUNTERS: &str = "capabilities = [\"counters\"]";

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_over_executors_of_which_one_is_killed_while_it_is_being_reached() {
    limit_holds(|limit, _| limit / 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_over_executors_of_which_one_is_killed_midway() {
    limit_holds(|_, attempts| attempts / 2).await;
}

async fn limit_holds(killed_after: fn(u64, u64) -> u64) {
    for _ in 0..3 {
        if limit_holds_unless_alone(killed_after).await {
            return;
        }
    }
    panic!("Redis does not answer in time, again and again");
}

/// Attempts at ten times the limit, spread over two executors through one Redis. One is killed once so many are answered; what
/// it had not answered goes to the other, which takes it for what it is: the same attempt. False where the machine stood still
/// for so long that an executor took Redis for dead and counted alone, which is another promise.
async fn limit_holds_unless_alone(killed_after: fn(u64, u64) -> u64) -> bool {
    let attempts = u64::try_from(rounds(2_000, 10_000)).unwrap();
    let limit = attempts / 10;
    let redis = Redis::start();
    let mut cluster = Cluster::start(&[redis.settings(), redis.settings()]);
    cluster.action("count", COUNTERS, &counts(limit));
    // The tenant's counter is one, whatever flow asks.
    cluster.flow("other", "count");

    let began = Instant::now();
    let mut under_way = Attempts::start(&cluster.urls(), 8, TENANT, &["count", "other"], attempts, "used_up");
    let before = under_way.answered(killed_after(limit, attempts)).await;
    cluster.executors[0].kill();
    let tally = under_way.finish().await;
    let (took, killed_after) = (began.elapsed(), before.answered_by);
    println!("{attempts} attempts, limit {limit}, in {took:?}; executor 0 killed after {killed_after:?}: {tally:?}");
    assert_eq!(tally.odd, [""; 0]);
    assert_eq!(tally.allowed + tally.refused, attempts, "each is answered once");
    assert!(killed_after.iter().all(|answered| *answered > 0), "both had their part");
    // The one that was killed hands its own audit in when it is started again.
    cluster.executors[0].start_again();
    if cluster.counted_alone(attempts).await > 0 {
        return false;
    }
    assert!((limit..=limit + limit / 100).contains(&tally.allowed), "{} of {limit} were allowed", tally.allowed);
    true
}

/// A take on one of the executors: whether it was allowed, and whether audit says that the executor counted alone.
fn take(cluster: &Cluster, executor: usize, key: &str, limit: u64) -> (bool, bool) {
    let answer = cluster.run(executor, "count", &json!({"key": key, "limit": limit}));
    let allowed = match answer["decided_by"]["reason_code"].as_str() {
        None => true,
        Some("used_up") => false,
        Some(other) => panic!("{other}: {answer}"),
    };
    let told = cluster.audit(&answer);
    (allowed, told["run"]["counters_fallback"].as_bool().unwrap())
}

#[test]
fn executors_count_alone_at_their_part_of_the_limit_while_redis_is_away() {
    let mut redis = Redis::start();
    let cluster = Cluster::start(&[redis.settings(), redis.settings()]);
    cluster.action("count", COUNTERS, &counts(0));
    let cli = cluster.cli(0);
    cluster.flow("strict", "count");
    let strict = cli.run(&["flow", "show", "strict"])["slots"][0]["attachments"][0]["attachment"].clone();
    cli.run(&["flow", "update", "strict", strict.as_str().unwrap(), "--on-counters-unavailable", "fail"]);
    let strictly = |executor| cluster.run(executor, "strict", &json!({"key": "strict", "limit": 100}));
    for executor in [0, 1] {
        cluster.knows_of(executor, 2);
    }
    // How many are allowed where both ask in turn, and whether every one of them was shared, or local.
    let in_turn = |key: &str, limit: u64, is_local: bool| {
        let mut allowed = [0, 0];
        for number in 0..2 * limit {
            let executor = usize::try_from(number % 2).unwrap();
            let (went_on, local) = take(&cluster, executor, key, limit);
            assert_eq!(local, is_local, "take {number} of {key}");
            allowed[executor] += u64::from(went_on);
        }
        allowed
    };

    assert_eq!(in_turn("before", 4, false), [2, 2], "both share one limit: in turn, each gets half of it");
    assert_eq!([take(&cluster, 0, "one", 2), take(&cluster, 0, "one", 2)], [(true, false); 2], "or one gets all of it");
    assert_eq!(take(&cluster, 1, "one", 2), (false, false));

    assert_eq!(strictly(0)["verdict"], "continue");
    redis.kill();
    for executor in [0, 1] {
        let answer = strictly(executor);
        let told = (&answer["verdict"], &answer["decided_by"]["reason_code"]);
        assert_eq!(told, (&json!("block"), &json!("action_unavailable")), "{answer}");
        assert_eq!(answer["results"][0]["failure"]["reason"], "unavailable", "{answer}");
        let run = &cluster.audit(&answer)["run"];
        assert_eq!(run["counters_fallback"], false, "{run}");
    }
    for executor in [0, 1] {
        let takes: Vec<(bool, bool)> = (0..6).map(|_| take(&cluster, executor, "during", 8)).collect();
        let allowed = takes.iter().filter(|(allowed, _)| *allowed).count();
        assert!(takes.iter().all(|(_, local)| *local), "executor {executor}: {takes:?}");
        assert_eq!(allowed, 4, "its part of a limit of 8: {takes:?}");
    }

    redis.start_again();
    for executor in [0, 1] {
        until("it is shared again", || (!take(&cluster, executor, "probe", 1_000).1).then_some(()));
        assert_eq!(strictly(executor)["verdict"], "continue");
    }
    assert_eq!([take(&cluster, 0, "after", 2), take(&cluster, 0, "after", 2)], [(true, false); 2]);
    assert_eq!(take(&cluster, 1, "after", 2), (false, false), "one counter again");
}

const KEEPS: &str = r"
export async function execute(input: Input): Promise<Outcome> {
  const { op, key, value, ttl_s } = input.user!.app_metadata as { op: string, key: string, value: unknown, ttl_s: number }
  if (op === 'set') await kv.set(key, value, { ttl_s })
  if (op === 'delete') await kv.delete(key)
  return { kind: 'continue', state: { found: await kv.get(key) ?? 'nothing' } }
}
";

#[test]
fn kv_is_shared_through_redis_and_in_memory_within_one_executor() {
    let redis = Redis::start();
    let cluster = Cluster::start(&[redis.settings(), redis.settings(), String::new()]);
    let [first, second, alone] = [0, 1, 2];
    let kv = "capabilities = [\"kv\"]";
    cluster.action("keep", kv, KEEPS);
    cluster.action("other", kv, KEEPS);
    let found = |executor: usize, slug: &str, ask: Value| {
        let answer = cluster.run(executor, slug, &ask);
        assert_eq!(answer["verdict"], "continue", "{answer}");
        answer["state"]["found"].clone()
    };
    let get = |executor: usize, key: &str| found(executor, "keep", json!({"op": "get", "key": key}));

    let value = json!({"plan": "gold", "seats": [1, 2.5, null]});
    let set = |ttl_s: u32, key: &str| json!({"op": "set", "key": key, "value": value, "ttl_s": ttl_s});
    let forget = |key: &str| json!({"op": "delete", "key": key});
    for (writer, reader, stranger) in [(first, second, alone), (alone, alone, first)] {
        let key = format!("kept-by-{writer}");
        assert_eq!(get(reader, &key), "nothing");
        assert_eq!(found(writer, "keep", set(3_600, &key)), value);
        assert_eq!(get(reader, &key), value);
        assert_eq!(get(stranger, &key), "nothing", "Redis is not asked, or was not told");
        assert_eq!(found(reader, "other", json!({"op": "get", "key": key})), "nothing", "it is another Action's");

        // What was kept for a second goes; what was kept for an hour stays.
        let short = format!("short-by-{writer}");
        found(writer, "keep", set(1, &short));
        until("its time is over", || (get(reader, &short) == "nothing").then_some(()));
        assert_eq!(get(reader, &key), value);
        assert_eq!(found(reader, "keep", forget(&key)), "nothing");
        assert_eq!(get(writer, &key), "nothing");
    }
}

/// By the run's own clock, around nothing but the request and its body.
const TIMES: &str = r"
export async function execute(input: Input): Promise<Outcome> {
  const { url } = input.user!.app_metadata as { url?: string }
  const began = performance.now()
  if (url !== undefined) await (await fetch(url)).text()
  return { kind: 'continue', state: { ms: performance.now() - began } }
}
";

/// A number and no test: what a fetch of an Action costs over the same request by nothing but hyper.
#[test]
fn what_a_fetch_adds_to_the_request_is_measured() {
    const ROUNDS: usize = 500;
    const WARM_UP: usize = 50;
    if rounds(0, ROUNDS) == 0 {
        println!("measured with TESTS_FULL alone");
        return;
    }
    let folder = TempDir::new().unwrap();
    let api = ThirdParty::start(&json!({"plan": "gold"}), "yes");
    let cluster = Cluster::start(&[api.settings(folder.path(), LOOPBACK)]);
    cluster.action("timed", &format!("hosts = [\"{HOST}\"]"), TIMES);
    let request = |ask: Value| {
        let app_metadata = Some(to_struct(ask.as_object().unwrap().clone()));
        let user = User { id: "u1".into(), app_metadata, ..User::default() };
        ExecuteRequest {
            tenant: TENANT.into(),
            flow: "timed".into(),
            trigger: "post-login".into(),
            input: Some(Input { user: Some(user), ..Input::default() }),
            ..ExecuteRequest::default()
        }
    };
    let (asks, idles) = (request(json!({"url": api.url("/plan")})), request(json!({})));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let [mut native, mut fetch, mut asking, mut idle] = [const { Vec::<Duration>::new() }; 4];
    runtime.block_on(async {
        let mut client = ExecutionServiceClient::new(channel(&cluster.urls()[0]));
        let mut bare = api.connect().await;
        for round in 0..WARM_UP + ROUNDS {
            let began = Instant::now();
            bare.get("/plan").await;
            let by_hyper = began.elapsed();
            let began = Instant::now();
            let answer = client.execute(asks.clone()).await.unwrap().into_inner();
            let by_execute = began.elapsed();
            let began = Instant::now();
            client.execute(idles.clone()).await.unwrap();
            let by_nothing = began.elapsed();
            if round < WARM_UP {
                continue;
            }
            let state = sluice_api::convert::json::object(answer.state.unwrap()).unwrap();
            fetch.push(Duration::from_secs_f64(state["ms"].as_f64().unwrap() / 1_000.0));
            native.push(by_hyper);
            asking.push(by_execute);
            idle.push(by_nothing);
        }
    });
    assert_eq!(api.connections(), 2, "each of the two kept its connection");
    let middle = |all: &mut Vec<Duration>| {
        all.sort();
        all[all.len() / 2]
    };
    let [native, fetch, asking, idle] = [&mut native, &mut fetch, &mut asking, &mut idle].map(middle);
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    println!("p50 of {ROUNDS} rounds, one after the other, over a connection that is kept:");
    println!("  the request by hyper:                       {:>7.1} us", micros(native));
    println!("  the same by fetch, in the Action's clock:   {:>7.1} us", micros(fetch));
    println!("  a fetch adds:                               {:>7.1} us", micros(fetch) - micros(native));
    println!("  Execute with the fetch, and without:        {:>7.1} us, {:.1} us", micros(asking), micros(idle));
    println!(
        "  by that a fetch adds:                       {:>7.1} us",
        micros(asking) - micros(idle) - micros(native)
    );
}
