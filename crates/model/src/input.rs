//! What an Action is given: [`Input`], and the part of it that a caller sends, [`CallerInput`].
//!
//! One definition is the contract: the TypeScript that authors see, the proto and these types agree with it. Absent keys
//! are `None`; lists and maps are never absent. Unknown keys in JSON are refused with their pointer.

mod host;

pub use host::Host;

use crate::{
    Invalid, Object, Slug, Trigger,
    decode::{Decode, Fields, Path, words},
    limits::check_object_depth,
    outcome::Factor,
    slot::Pending,
};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything that a run is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The point in the sign-in.
    pub trigger: Trigger,
    /// The account; `None` (null for the Action) where it is not known.
    pub user: Option<User>,
    /// The request that the auth engine is serving.
    pub request: Request,
    /// What earlier Actions of this sign-in left.
    pub state: Object,
    /// Where and under what circumstances the Action runs.
    pub context: Context,
}

/// The account that signs in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    /// The account's id; never empty.
    pub id: String,
    /// The primary address.
    pub email: Option<String>,
    /// Whether the primary address is verified.
    pub email_verified: Option<bool>,
    /// All addresses, the primary among them.
    pub emails: Option<Vec<Email>>,
    /// A telephone number.
    pub phone: Option<String>,
    /// The name to sign in with.
    pub username: Option<String>,
    /// The name to show.
    pub name: Option<String>,
    /// A BCP 47 tag.
    pub locale: Option<String>,
    /// Groups that the account is in.
    pub groups: Vec<Group>,
    /// Roles that the account has.
    pub roles: Vec<String>,
    /// Accounts at other identity providers.
    pub identities: Vec<Identity>,
    /// Second factors.
    pub mfa: Mfa,
    /// What the application keeps about the account.
    pub app_metadata: Object,
    /// What the user may change.
    pub user_metadata: Object,
    /// When the account was made.
    pub created_at: Option<Timestamp>,
    /// How often it signed in, this time included.
    pub logins_count: Option<u64>,
}

/// An address of an account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Email {
    /// The address.
    pub address: String,
    /// Whether it is verified.
    pub verified: bool,
}

/// A group of an account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// An account at another identity provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The provider.
    pub provider: String,
    /// The account's subject there.
    pub subject: String,
    /// The connection that it came by.
    pub connection_id: Option<String>,
}

/// Second factors of an account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mfa {
    /// Those that are enrolled.
    pub enrolled: Vec<Factor>,
}

/// The request that the auth engine is serving.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Its id; filled in with the execution id.
    pub id: Option<String>,
    /// When it came; filled in with now.
    pub time: Option<Timestamp>,
    /// The client's address, as the auth engine resolved it.
    pub ip: Option<String>,
    /// The autonomous system of the address.
    pub asn: Option<u64>,
    /// Where the address is.
    pub geo: Option<Geo>,
    /// The User-Agent header.
    pub user_agent: Option<String>,
    /// The host that was asked.
    pub hostname: Option<String>,
    /// The path that was asked.
    pub path: Option<String>,
    /// Headers by lower-case name; never `authorization` or `cookie`.
    pub headers: BTreeMap<String, Vec<String>>,
    /// What was entered as identifier.
    pub identifier: Option<String>,
    /// The application.
    pub client: Client,
    /// The connection by name.
    pub connection: Option<String>,
    /// The protocol, such as `oidc`.
    pub protocol: Option<String>,
    /// The OAuth grant type.
    pub grant_type: Option<String>,
    /// The scopes asked for.
    pub scopes: Option<Vec<String>>,
    /// The audience asked for.
    pub audience: Option<String>,
    /// Where the client wants the user sent afterwards.
    pub redirect_uri: Option<String>,
    /// Whether a person can be asked something.
    pub interactive: bool,
    /// The device.
    pub device: Option<Device>,
}

/// Where an address is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Geo {
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// ISO 3166-2, or a name.
    pub region: Option<String>,
    /// A name.
    pub city: Option<String>,
}

/// The application that the user signs in to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Client {
    /// Its id; empty where it is not known.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its type.
    pub kind: Option<String>,
    /// What is kept about it.
    pub metadata: Option<Object>,
}

/// The device of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// Whether the account used it before.
    pub known: bool,
}

/// Where and under what circumstances an Action runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// The tenant.
    pub tenant: Slug,
    /// The organisation that the user signs in to.
    pub organization: Option<Organization>,
    /// The sign-in.
    pub sign_in_id: String,
    /// The Execute call.
    pub execution_id: String,
    /// The flow.
    pub flow: FlowRef,
    /// The slot, by its trigger.
    pub slot: Trigger,
    /// The attachment.
    pub attachment: AttachmentRef,
    /// The Action.
    pub action: ActionRef,
    /// The attachment's config, defaults filled in.
    pub config: Object,
    /// The risk engine's word; `None` is null for the Action.
    pub risk: Option<Risk>,
    /// The credential that was checked.
    pub credential: Option<Credential>,
    /// The session.
    pub session: Option<Session>,
    /// The token that is about to be issued.
    pub token: Option<Token>,
    /// What earlier Actions of this slot demand.
    pub pending: Pending,
    /// Now.
    pub now: Timestamp,
    /// Milliseconds that this run has left by the clock when it starts.
    pub deadline_ms: u64,
    /// Why it runs.
    pub mode: Mode,
}

/// An organisation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Organization {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
}

/// A flow at a revision.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowRef {
    /// The flow's slug.
    pub id: Slug,
    /// The revision, from 1.
    pub revision: u64,
}

/// An attachment in its slot.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachmentRef {
    /// Its id.
    pub id: String,
    /// Its place in the slot, from 1.
    pub position: u64,
}

/// An Action at a version.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRef {
    /// Its slug.
    pub slug: Slug,
    /// Its version.
    pub version: String,
}

/// What the risk engine says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Risk {
    /// 0 is safe, 100 dangerous; NaN where it was left out.
    pub score: f64,
    /// The engine's word for it.
    pub level: Option<String>,
    /// What it is made of.
    pub signals: Option<Vec<Signal>>,
    /// When it was assessed, as it was sent: text that may be unreadable.
    pub assessed_at: Option<String>,
}

/// A part of a risk score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signal {
    /// Its code.
    pub code: String,
    /// What it adds to the score.
    pub weight: Option<f64>,
}

/// A credential that was checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credential {
    /// Whether it is right.
    pub valid: bool,
    /// How it was checked, such as `password`.
    pub method: String,
}

/// The session of a sign-in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Authentication methods (RFC 8176).
    pub amr: Option<Vec<String>>,
    /// The state of the second factor.
    pub mfa: Option<SessionMfa>,
}

/// The second factor in a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionMfa {
    /// Whether this sign-in has satisfied it.
    pub satisfied: bool,
    /// When.
    pub at: Option<Timestamp>,
    /// By which factor.
    pub factor: Option<Factor>,
}

/// A token that is about to be issued.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Token {
    /// `id` or `access`.
    pub kind: String,
    /// Its audience.
    pub audience: String,
    /// Claims that it has already.
    pub claims: Object,
}

words! {
    /// Why an Action runs.
    Mode {
        /// A real sign-in.
        Live = "live",
        /// An author tries it.
        Test = "test",
        /// Beside a sign-in, without effect on it.
        Shadow = "shadow",
        /// A recorded sign-in again.
        Replay = "replay",
    }
}

/// The part of an [`Input`] that a caller sends; the rest is the host's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallerInput {
    /// The account.
    pub user: Option<User>,
    /// The request.
    pub request: Request,
    /// What earlier slots of this sign-in left.
    pub state: Object,
    /// The organisation.
    pub organization: Option<Organization>,
    /// The risk engine's word.
    pub risk: Option<Risk>,
    /// The credential that was checked.
    pub credential: Option<Credential>,
    /// The session.
    pub session: Option<Session>,
    /// The token that is about to be issued.
    pub token: Option<Token>,
}

impl CallerInput {
    /// Reads a caller's JSON. `trigger` may stand in it and must then be `expected`; what is the host's to say is
    /// refused by name, and so is an unknown key. `user.id` is required where there is a user, nothing else.
    pub fn from_json(value: Value, expected: Trigger) -> Result<CallerInput, Invalid> {
        let root = Path::ROOT;
        let mut top = Fields::new(value, &root, &["trigger", "user", "request", "state", "context"])?.null_is_absent();
        if let Some(trigger) = top.optional::<Trigger>("trigger")?
            && trigger != expected
        {
            return Err(Invalid::at("/trigger", format!("is {trigger}, but the trigger asked for is {expected}")));
        }
        let mut input = CallerInput {
            user: top.optional("user")?,
            request: top.or_default("request")?,
            state: top.or_default("state")?,
            ..CallerInput::default()
        };
        if let Some(context) = top.raw("context").filter(|c| !c.is_null()) {
            let path = root.key("context");
            const HOSTS: [&str; 11] = [
                "tenant",
                "sign_in_id",
                "execution_id",
                "flow",
                "slot",
                "attachment",
                "action",
                "config",
                "pending",
                "now",
                "deadline_ms",
            ];
            if let Value::Object(map) = &context
                && let Some(key) = HOSTS.iter().chain(["mode"].iter()).find(|k| map.contains_key(**k))
            {
                return Err(path.key(key).invalid(format!("{key:?} is filled in by the host and cannot be sent")));
            }
            let mut fields = Fields::new(context, &path, &["organization", "risk", "credential", "session", "token"])?
                .null_is_absent();
            input.organization = fields.optional("organization")?;
            input.risk = fields.optional("risk")?;
            input.credential = fields.optional("credential")?;
            input.session = fields.optional("session")?;
            input.token = fields.optional("token")?;
        }
        input.fill_in();
        input.check()?;
        Ok(input)
    }

    /// Makes lists and maps that were left out empty. Every way in calls it, so that an Action sees the same whether
    /// the wire, which cannot tell an absent list from an empty one, or JSON brought the input.
    pub fn fill_in(&mut self) {
        if let Some(user) = &mut self.user {
            user.emails.get_or_insert_default();
        }
        self.request.scopes.get_or_insert_default();
        self.request.client.metadata.get_or_insert_default();
        if let Some(risk) = &mut self.risk {
            risk.signals.get_or_insert_default();
        }
        if let Some(session) = &mut self.session {
            session.amr.get_or_insert_default();
        }
    }

    /// The rules that hold however the input came: what is required, and headers that must never be handed on.
    /// Pointers are into the JSON form.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Some(user) = &self.user
            && user.id.is_empty()
        {
            return Err(Invalid::at("/user/id", "is required where there is a user"));
        }
        let user = self.user.as_ref();
        for (pointer, object) in [
            ("/user/app_metadata", user.map(|u| &u.app_metadata)),
            ("/user/user_metadata", user.map(|u| &u.user_metadata)),
            ("/request/client/metadata", self.request.client.metadata.as_ref()),
            ("/context/token/claims", self.token.as_ref().map(|t| &t.claims)),
        ] {
            object.map_or(Ok(()), check_object_depth).map_err(|e| e.under(pointer))?;
        }
        if let Some(asn) = self.request.asn
            && asn > u64::from(u32::MAX)
        {
            return Err(Invalid::at(
                "/request/asn",
                format!("is {asn}; the number of an autonomous system has 32 bits"),
            ));
        }
        for name in self.request.headers.keys() {
            let path = || format!("/request/headers/{}", crate::decode::escape(name));
            if name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("cookie") {
                return Err(Invalid::at(
                    path(),
                    "authorization and cookie are never handed to an Action; leave them out",
                ));
            }
            if name.bytes().any(|b| b.is_ascii_uppercase()) {
                return Err(Invalid::at(path(), "header names are lower case"));
            }
        }
        crate::slot::check_state(&self.state).map_err(|e| e.under("/state"))
    }

    /// Takes a risk score that is not finite or not from 0 to 100 away. The answer says whether there was one, so that
    /// it can be audited.
    pub fn drop_unusable_risk(&mut self) -> bool {
        let unusable = self.risk.as_ref().is_some_and(|r| !(0.0..=100.0).contains(&r.score));
        if unusable {
            self.risk = None;
        }
        unusable
    }
}

impl Decode for User {
    fn decode(value: Value, path: Path<'_>) -> Result<User, Invalid> {
        let mut f = Fields::new(
            value,
            &path,
            &[
                "id",
                "email",
                "email_verified",
                "emails",
                "phone",
                "username",
                "name",
                "locale",
                "groups",
                "roles",
                "identities",
                "mfa",
                "app_metadata",
                "user_metadata",
                "created_at",
                "logins_count",
            ],
        )?
        .null_is_absent();
        Ok(User {
            id: f.required("id")?,
            email: f.optional("email")?,
            email_verified: f.optional("email_verified")?,
            emails: f.optional("emails")?,
            phone: f.optional("phone")?,
            username: f.optional("username")?,
            name: f.optional("name")?,
            locale: f.optional("locale")?,
            groups: f.or_default("groups")?,
            roles: f.or_default("roles")?,
            identities: f.or_default("identities")?,
            mfa: f.or_default("mfa")?,
            app_metadata: f.or_default("app_metadata")?,
            user_metadata: f.or_default("user_metadata")?,
            created_at: f.optional("created_at")?,
            logins_count: f.optional("logins_count")?,
        })
    }
}

impl Decode for Email {
    fn decode(value: Value, path: Path<'_>) -> Result<Email, Invalid> {
        let mut f = Fields::new(value, &path, &["address", "verified"])?.null_is_absent();
        Ok(Email { address: f.or_default("address")?, verified: f.or_default("verified")? })
    }
}

impl Decode for Group {
    fn decode(value: Value, path: Path<'_>) -> Result<Group, Invalid> {
        let mut f = Fields::new(value, &path, &["id", "name"])?.null_is_absent();
        Ok(Group { id: f.or_default("id")?, name: f.or_default("name")? })
    }
}

impl Decode for Identity {
    fn decode(value: Value, path: Path<'_>) -> Result<Identity, Invalid> {
        let mut f = Fields::new(value, &path, &["provider", "subject", "connection_id"])?.null_is_absent();
        Ok(Identity {
            provider: f.or_default("provider")?,
            subject: f.or_default("subject")?,
            connection_id: f.optional("connection_id")?,
        })
    }
}

impl Decode for Mfa {
    fn decode(value: Value, path: Path<'_>) -> Result<Mfa, Invalid> {
        let mut f = Fields::new(value, &path, &["enrolled"])?.null_is_absent();
        Ok(Mfa { enrolled: f.or_default("enrolled")? })
    }
}

impl Decode for Request {
    fn decode(value: Value, path: Path<'_>) -> Result<Request, Invalid> {
        let mut f = Fields::new(
            value,
            &path,
            &[
                "id",
                "time",
                "ip",
                "asn",
                "geo",
                "user_agent",
                "hostname",
                "path",
                "headers",
                "identifier",
                "client",
                "connection",
                "protocol",
                "grant_type",
                "scopes",
                "audience",
                "redirect_uri",
                "interactive",
                "device",
            ],
        )?
        .null_is_absent();
        Ok(Request {
            id: f.optional("id")?,
            time: f.optional("time")?,
            ip: f.optional("ip")?,
            asn: f.optional("asn")?,
            geo: f.optional("geo")?,
            user_agent: f.optional("user_agent")?,
            hostname: f.optional("hostname")?,
            path: f.optional("path")?,
            headers: f.or_default("headers")?,
            identifier: f.optional("identifier")?,
            client: f.or_default("client")?,
            connection: f.optional("connection")?,
            protocol: f.optional("protocol")?,
            grant_type: f.optional("grant_type")?,
            scopes: f.optional("scopes")?,
            audience: f.optional("audience")?,
            redirect_uri: f.optional("redirect_uri")?,
            interactive: f.or_default("interactive")?,
            device: f.optional("device")?,
        })
    }
}

impl Decode for Geo {
    fn decode(value: Value, path: Path<'_>) -> Result<Geo, Invalid> {
        let mut f = Fields::new(value, &path, &["country", "region", "city"])?.null_is_absent();
        Ok(Geo { country: f.or_default("country")?, region: f.optional("region")?, city: f.optional("city")? })
    }
}

impl Decode for Client {
    fn decode(value: Value, path: Path<'_>) -> Result<Client, Invalid> {
        let mut f = Fields::new(value, &path, &["id", "name", "type", "metadata"])?.null_is_absent();
        Ok(Client {
            id: f.or_default("id")?,
            name: f.optional("name")?,
            kind: f.optional("type")?,
            metadata: f.optional("metadata")?,
        })
    }
}

impl Decode for Device {
    fn decode(value: Value, path: Path<'_>) -> Result<Device, Invalid> {
        let mut f = Fields::new(value, &path, &["id", "known"])?.null_is_absent();
        Ok(Device { id: f.or_default("id")?, known: f.or_default("known")? })
    }
}

impl Decode for Organization {
    fn decode(value: Value, path: Path<'_>) -> Result<Organization, Invalid> {
        let mut f = Fields::new(value, &path, &["id", "name"])?.null_is_absent();
        Ok(Organization { id: f.or_default("id")?, name: f.optional("name")? })
    }
}

impl Decode for Risk {
    fn decode(value: Value, path: Path<'_>) -> Result<Risk, Invalid> {
        let mut f = Fields::new(value, &path, &["score", "level", "signals", "assessed_at"])?.null_is_absent();
        Ok(Risk {
            score: f.optional("score")?.unwrap_or(f64::NAN),
            level: f.optional("level")?,
            signals: f.optional("signals")?,
            assessed_at: f.optional("assessed_at")?,
        })
    }
}

impl Decode for Signal {
    fn decode(value: Value, path: Path<'_>) -> Result<Signal, Invalid> {
        let mut f = Fields::new(value, &path, &["code", "weight"])?.null_is_absent();
        Ok(Signal { code: f.or_default("code")?, weight: f.optional("weight")? })
    }
}

impl Decode for Credential {
    fn decode(value: Value, path: Path<'_>) -> Result<Credential, Invalid> {
        let mut f = Fields::new(value, &path, &["valid", "method"])?.null_is_absent();
        Ok(Credential { valid: f.or_default("valid")?, method: f.or_default("method")? })
    }
}

impl Decode for Session {
    fn decode(value: Value, path: Path<'_>) -> Result<Session, Invalid> {
        let mut f = Fields::new(value, &path, &["id", "amr", "mfa"])?.null_is_absent();
        Ok(Session { id: f.or_default("id")?, amr: f.optional("amr")?, mfa: f.optional("mfa")? })
    }
}

impl Decode for SessionMfa {
    fn decode(value: Value, path: Path<'_>) -> Result<SessionMfa, Invalid> {
        let mut f = Fields::new(value, &path, &["satisfied", "at", "factor"])?.null_is_absent();
        Ok(SessionMfa { satisfied: f.or_default("satisfied")?, at: f.optional("at")?, factor: f.optional("factor")? })
    }
}

impl Decode for Token {
    fn decode(value: Value, path: Path<'_>) -> Result<Token, Invalid> {
        let mut f = Fields::new(value, &path, &["type", "audience", "claims"])?.null_is_absent();
        Ok(Token { kind: f.or_default("type")?, audience: f.or_default("audience")?, claims: f.or_default("claims")? })
    }
}
