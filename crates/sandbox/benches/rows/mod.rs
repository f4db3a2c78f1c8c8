//! What the benches share: an Action, an input, and rows that take turns.

use serde_json::{Value, json};
use sluice_model::{Bundle, BundleModule};
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;
/// How long a row runs in a round.
pub(crate) const ROW: Duration = Duration::from_millis(150);
pub(crate) const ALLOW_LIST: &str = "
const ALLOWED = new Set(['example.com', 'example.org', 'acme.io', 'initech.com', 'hooli.xyz', 'umbrella.co', 'stark.dev', 'wayne.net',
  'wonka.eu', 'soylent.org', 'tyrell.ai', 'cyberdyne.sys', 'piedpiper.com', 'globex.com', 'vandelay.com', 'sterling.com']);
export async function execute(input) {
  const email = input.user?.email ?? '';
  const at = email.lastIndexOf('@');
  const domain = email.slice(at + 1).toLowerCase();
  if (at < 1 || !ALLOWED.has(domain)) {
    return { kind: 'block', reason_code: 'domain_not_allowed', user_message: `Sign-ins from ${domain} are not allowed.` };
  }
  return { kind: 'continue', annotations: { domain } };
}";

pub(crate) fn bundle(code: &str) -> Bundle {
    let module = BundleModule { path: "src/index.ts".into(), code: code.into(), source_map: String::new() };
    Bundle::new("src/index.ts", vec![module])
}

/// An input of 1.5 KB as JSON.
pub(crate) fn input() -> Value {
    json!({
        "trigger": "post-login",
        "user": {"id": "usr_01HZX8T3", "email": "jane.doe@example.com", "email_verified": true, "name": "Jane Doe", "locale": "en-GB",
            "groups": [{"id": "g1", "name": "staff"}, {"id": "g2", "name": "engineering"}], "roles": ["admin", "editor"],
            "identities": [{"provider": "oidc", "subject": "248289761001"}], "mfa": {"enrolled": ["otp", "webauthn"]},
            "app_metadata": {"plan": "enterprise", "seats": 250, "flags": {"beta": true, "legacy": false}},
            "user_metadata": {"theme": "dark", "newsletter": false}, "created_at": "2024-05-01T09:30:00Z", "logins_count": 182},
        "request": {"id": "0190f2d4-7c1e-7b6e-9a53-3f1f2c9d4e5a", "time": "2026-11-22T10:00:00Z", "ip": "203.0.113.9", "asn": 64500,
            "geo": {"country": "GB", "region": "ENG", "city": "London"}, "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
            "hostname": "login.example.com", "path": "/authorize", "headers": {"accept": ["*/*"], "accept-language": ["en-GB,en;q=0.9"]},
            "client": {"id": "cli_9", "name": "Portal", "type": "spa", "metadata": {}}, "connection": "password", "protocol": "oidc",
            "scopes": ["openid", "profile", "email"], "interactive": true, "device": {"id": "dev_77", "known": true}},
        "state": {},
        "context": {"tenant": {"id": "acme"}, "sign_in_id": "sgn_01HZX8T3", "execution_id": "0190f2d4-7c1e-7b6e-9a53-3f1f2c9d4e5b",
            "flow": {"id": "default", "revision": 7}, "slot": "post-login", "attachment": {"id": "att_1", "position": 1},
            "action": {"slug": "domain-check", "version": "1.2.0"}, "config": {"domains": ["example.com", "example.org"], "message": "No."},
            "risk": {"score": 12, "level": "low"}, "session": {"id": "ses_1", "amr": ["pwd"]}, "pending": {},
            "now": "2026-11-22T10:00:00Z", "deadline_ms": 500, "mode": "live"},
    })
}

pub(crate) type Call<'a> = Box<dyn FnMut() -> Pin<Box<dyn Future<Output = ()> + 'a>> + 'a>;

pub(crate) struct Row<'a> {
    pub(crate) name: &'static str,
    pub(crate) call: Call<'a>,
    cpu_us: Vec<f64>,
    wall_us: Vec<f64>,
}

impl<'a> Row<'a> {
    pub(crate) fn new(name: &'static str, call: Call<'a>) -> Row<'a> {
        Row { name, call, cpu_us: Vec::new(), wall_us: Vec::new() }
    }

    pub(crate) fn cpu(&self) -> f64 {
        median(&self.cpu_us)
    }

    pub(crate) fn wall(&self) -> f64 {
        median(&self.wall_us)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Of the whole process, so that what ran in the slow lane counts; the ticker's share is some 10 us a millisecond.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

pub(crate) fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

pub(crate) async fn measure(rows: &mut [Row<'_>], each: Duration) {
    for row in &mut *rows {
        for _ in 0..20 {
            (row.call)().await;
        }
    }
    for _ in 0..ROUNDS {
        for row in &mut *rows {
            let (cpu_before, started, mut calls) = (cpu(), Instant::now(), 0.0);
            while started.elapsed() < each || calls < 5.0 {
                (row.call)().await;
                calls += 1.0;
            }
            row.wall_us.push(started.elapsed().as_secs_f64() * 1e6 / calls);
            row.cpu_us.push((cpu() - cpu_before).as_secs_f64() * 1e6 / calls);
        }
    }
    for row in &*rows {
        println!("{:56} {:>9.1} {:>9.1}", row.name, row.cpu(), row.wall());
    }
}

/// A pseudo-random sequence that is the same each time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

pub(crate) fn target(what: &str, value: f64, limit: f64, unit: &str) {
    let verdict = if value <= limit { "met" } else { "MISSED" };
    println!("{what:56} {value:>9.2} {unit}, target at most {limit} {unit}: {verdict}");
}
