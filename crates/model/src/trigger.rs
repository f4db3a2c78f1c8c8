//! Triggers, and the one table of which trigger allows which outcome.

use crate::{OutcomeKind, decode::words};

words! {
    /// A named point in a sign-in at which a slot of a flow runs.
    Trigger {
        /// Before anything is known but the request.
        PreLogin = "pre-login",
        /// An identifier was entered.
        PostIdentifier = "post-identifier",
        /// A credential was checked, with its result in `context.credential`.
        PostCredentialValidation = "post-credential-validation",
        /// Before a second factor is asked for.
        PreMfaChallenge = "pre-mfa-challenge",
        /// A second factor was checked.
        PostMfaChallenge = "post-mfa-challenge",
        /// The account is authenticated.
        PostLogin = "post-login",
        /// Before a token is issued.
        PreTokenIssue = "pre-token-issue",
        /// A machine asks for a token (client credentials).
        CredentialsExchange = "credentials-exchange",
        /// A token is exchanged for another (RFC 8693).
        TokenExchange = "token-exchange",
        /// Before an account is created.
        PreUserRegistration = "pre-user-registration",
        /// Before a profile is changed.
        PreProfileUpdate = "pre-profile-update",
        /// Before a password is reset.
        PrePasswordReset = "pre-password-reset",
        /// An account was created; asynchronous.
        PostUserRegistration = "post-user-registration",
        /// A password was changed; asynchronous.
        PostChangePassword = "post-change-password",
        /// A sign-in failed; asynchronous.
        LoginFailed = "login-failed",
        /// A session ended; asynchronous.
        PostLogout = "post-logout",
    }
}

/// A row of the table: what may be answered at a trigger.
struct Allowed {
    block: bool,
    mfa: bool,
    redirect: bool,
    claims: bool,
}

impl Trigger {
    /// The table of DESIGN "Input and outcome".
    const fn allowed(self) -> Allowed {
        use Trigger::*;
        let (block, mfa, redirect, claims) = match self {
            PreLogin
            | PostIdentifier
            | PostCredentialValidation
            | PostMfaChallenge
            | PreUserRegistration
            | PreProfileUpdate => (true, false, false, false),
            PreMfaChallenge => (true, true, false, false),
            PostLogin => (true, true, true, true),
            PreTokenIssue | CredentialsExchange | TokenExchange => (true, false, false, true),
            PrePasswordReset => (true, true, true, false),
            PostUserRegistration | PostChangePassword | LoginFailed | PostLogout => (false, false, false, false),
        };
        Allowed { block, mfa, redirect, claims }
    }

    /// Whether an Action may answer with this kind here. `continue` always may.
    pub const fn allows(self, kind: OutcomeKind) -> bool {
        let allowed = self.allowed();
        match kind {
            OutcomeKind::Continue => true,
            OutcomeKind::Block => allowed.block,
            OutcomeKind::DemandMfa => allowed.mfa,
            OutcomeKind::Redirect => allowed.redirect,
        }
    }

    /// Whether an Action may add claims here.
    pub const fn allows_claims(self) -> bool {
        self.allowed().claims
    }

    /// Whether the sign-in does not wait for what is decided here: nothing can block, whatever an Action answers is
    /// recorded, and the verdict is continue.
    pub const fn is_asynchronous(self) -> bool {
        !self.allowed().block
    }

    /// The kinds that may be answered here, as words for a message.
    pub fn allowed_kinds(self) -> String {
        let kinds: Vec<_> = OutcomeKind::ALL.iter().filter(|(_, k)| self.allows(*k)).map(|(w, _)| *w).collect();
        kinds.join(", ")
    }
}
