//! What may be asked of the log, and how a block and a record are held against it.

use super::index::{Facts, Summary, Term, Times, tenant_number};
use super::record::Field;
use super::{Cursor, LogError, MAX_PAGE};
use jiff::Timestamp;
use semver::Version;
use sluice_model::{AuditKind, AuditRecord, OutcomeKind, Slug, Trigger};

/// Which records of a tenant are asked for. Everything that is given must hold.
#[derive(Debug, Clone)]
pub struct Query {
    /// Whose. Nothing is ever told of another's.
    pub tenant: Slug,
    /// Only what happened then or later.
    pub since: Option<Timestamp>,
    /// Only what happened before.
    pub until: Option<Timestamp>,
    /// Only this kind.
    pub kind: Option<AuditKind>,
    /// Only this flow.
    pub flow: Option<Slug>,
    /// Only this trigger.
    pub trigger: Option<Trigger>,
    /// Only this Action.
    pub slug: Option<Slug>,
    /// Only this exact version.
    pub version: Option<Version>,
    /// Only this sign-in.
    pub sign_in_id: Option<String>,
    /// Only this Execute call.
    pub execution_id: Option<String>,
    /// Only this user.
    pub user_id: Option<String>,
    /// Only this outcome.
    pub outcome: Option<OutcomeKind>,
    /// Only this reason code, or this failure reason in lower case.
    pub reason: Option<String>,
    /// Only what was committed before this place: [`super::AuditPage::next`] of the page before. `None` is from the newest.
    pub before: Option<Cursor>,
    /// The most records of the page, 1 to [`MAX_PAGE`].
    pub limit: usize,
}

impl Query {
    /// The newest page of everything of a tenant.
    pub fn of(tenant: Slug) -> Query {
        Query {
            tenant,
            since: None,
            until: None,
            kind: None,
            flow: None,
            trigger: None,
            slug: None,
            version: None,
            sign_in_id: None,
            execution_id: None,
            user_id: None,
            outcome: None,
            reason: None,
            before: None,
            limit: MAX_PAGE,
        }
    }

    fn matches(&self, record: &AuditRecord) -> bool {
        fn same<T: PartialEq>(asked: &Option<T>, found: Option<&T>) -> bool {
            asked.as_ref().is_none_or(|asked| Some(asked) == found)
        }
        let reason = |asked: &String| {
            record.reason_code.as_ref() == Some(asked)
                || record.failure.as_ref().is_some_and(|failure| failure.reason.as_str() == asked)
        };
        record.tenant == self.tenant
            && self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time < until)
            && same(&self.kind, Some(&record.kind))
            && same(&self.flow, record.flow.as_ref())
            && same(&self.trigger, record.trigger.as_ref())
            && same(&self.slug, record.slug.as_ref())
            && same(&self.version, record.version.as_ref())
            && same(&self.sign_in_id, record.sign_in_id.as_ref())
            && same(&self.execution_id, record.execution_id.as_ref())
            && same(&self.user_id, record.user_id.as_ref())
            && same(&self.outcome, record.outcome.as_ref())
            && self.reason.as_ref().is_none_or(reason)
    }

    fn terms(&self) -> Vec<Term> {
        let texts = [
            (Field::SignIn, self.sign_in_id.as_deref()),
            (Field::Execution, self.execution_id.as_deref()),
            (Field::User, self.user_id.as_deref()),
            (Field::Kind, self.kind.map(AuditKind::as_str)),
            (Field::Flow, self.flow.as_ref().map(Slug::as_str)),
            (Field::Trigger, self.trigger.map(Trigger::as_str)),
            (Field::Action, self.slug.as_ref().map(Slug::as_str)),
            (Field::Outcome, self.outcome.map(OutcomeKind::as_str)),
            (Field::Reason, self.reason.as_deref()),
        ];
        let term = |field: Field, text: &str| Term::of(&self.tenant, field as u8, text);
        let version = self.version.as_ref().map(|version| term(Field::Version, &version.to_string()));
        texts.into_iter().filter_map(|(field, text)| Some(term(field, text?))).chain(version).collect()
    }
}

/// Checks the size of a page.
pub(super) fn check_limit(limit: usize) -> Result<(), LogError> {
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(());
    }
    Err(LogError::Invalid { field: "limit", detail: format!("{limit} records; it takes 1 to {MAX_PAGE}") })
}

/// A query made ready to look for: what can be told without reading a record, then the record.
pub(super) struct Sought {
    /// `None` asks for every tenant.
    tenant: Option<(Slug, u32)>,
    times: Times,
    terms: Vec<Term>,
    query: Option<Query>,
}

impl Sought {
    /// What a query asks for.
    pub(super) fn by(query: Query) -> Sought {
        // The index has whole microseconds, both ends in the range; a record's own time is compared exactly.
        let last = |until: Timestamp| Timestamp::from_nanosecond(until.as_nanosecond() - 1).unwrap_or(until);
        let times = Times {
            first: query.since.map_or(i64::MIN, Timestamp::as_microsecond),
            last: query.until.map_or(i64::MAX, |until| last(until).as_microsecond()),
        };
        let tenant = Some((query.tenant.clone(), tenant_number(&query.tenant)));
        Sought { tenant, times, terms: query.terms(), query: Some(query) }
    }

    /// Everything of a tenant, or of all.
    pub(super) fn all(tenant: Option<Slug>) -> Sought {
        let tenant = tenant.map(|tenant| (tenant.clone(), tenant_number(&tenant)));
        Sought { tenant, times: Times { first: i64::MIN, last: i64::MAX }, terms: Vec::new(), query: None }
    }

    fn tenant_may_be_in(&self, tenants: &[u32]) -> bool {
        self.tenant.as_ref().is_none_or(|(_, number)| tenants.binary_search(number).is_ok())
    }

    pub(super) fn may_be_in_segment(&self, summary: &Summary) -> bool {
        self.times.meets(summary.times) && self.tenant_may_be_in(&summary.tenants)
    }

    pub(super) fn may_be_in_block(&self, facts: &Facts) -> bool {
        self.times.meets(facts.times)
            && self.tenant_may_be_in(&facts.tenants)
            && self.terms.iter().all(|term| facts.filter.may_have(*term))
    }

    /// Whether the records of a tenant are worth decoding.
    pub(super) fn is_of(&self, tenant: &str) -> bool {
        self.tenant.as_ref().is_none_or(|(sought, _)| sought.as_str() == tenant)
    }

    pub(super) fn is(&self, record: &AuditRecord) -> bool {
        self.query.as_ref().is_none_or(|query| query.matches(record))
    }
}
