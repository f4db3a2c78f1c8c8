//! Whose turn it is: which endpoint is looked at next, so that no tenant waits for another's receivers.
//!
//! An endpoint with deliveries that are pending has a lane. A lane is ready to be looked at, waits for a time, or waits for one
//! of its own deliveries to end. Tenants take turns, and in a tenant its lanes do. What is in the store is the truth: a lane
//! says only that it is worth a look.

use super::rows::LaneKey;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// How many deliveries may be under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) all: usize,
    /// Of one tenant.
    pub(crate) tenant: usize,
    /// To one endpoint.
    pub(crate) endpoint: usize,
}

/// All lanes.
pub(crate) struct Lanes {
    bounds: Bounds,
    lanes: HashMap<LaneKey, Lane>,
    /// Lanes that are ready, by tenant; a tenant is in `turns` where it has any.
    ready: HashMap<sluice_model::Slug, VecDeque<LaneKey>>,
    turns: VecDeque<sluice_model::Slug>,
    /// Lanes that wait for a time.
    timers: BTreeSet<(Timestamp, LaneKey)>,
    /// When the first delivery of each lane was due when it was last looked at.
    dues: BTreeSet<(Timestamp, LaneKey)>,
    of_tenants: HashMap<sluice_model::Slug, usize>,
    under_way: usize,
}

/// One endpoint.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    place: Place,
    due: Option<Timestamp>,
    /// The deliveries that are under way.
    pub(crate) under_way: BTreeSet<String>,
    /// When messages were sent in the last minute, where there is a pace; `None` where the store was not asked yet.
    pub(crate) recent: Option<VecDeque<Timestamp>>,
    /// Whether its pace kept something waiting since a message was sent last.
    pub(crate) held: bool,
}

/// What a lane waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// To be looked at.
    Ready,
    /// A time.
    Until(Timestamp),
    /// That one of its deliveries ends, or a new one comes.
    #[default]
    Idle,
}

impl Lanes {
    pub(crate) fn new(bounds: Bounds) -> Lanes {
        Lanes {
            bounds,
            lanes: HashMap::new(),
            ready: HashMap::new(),
            turns: VecDeque::new(),
            timers: BTreeSet::new(),
            dues: BTreeSet::new(),
            of_tenants: HashMap::new(),
            under_way: 0,
        }
    }

    /// Something is to be sent to an endpoint.
    pub(crate) fn wake(&mut self, key: &LaneKey) {
        let lane = self.lanes.entry(key.clone()).or_default();
        match lane.place {
            Place::Ready => return,
            Place::Until(at) => {
                self.timers.remove(&(at, key.clone()));
            }
            Place::Idle => {}
        }
        lane.place = Place::Ready;
        let ready = self.ready.entry(key.tenant.clone()).or_default();
        if ready.is_empty() {
            self.turns.push_back(key.tenant.clone());
        }
        ready.push_back(key.clone());
    }

    /// The next lane to look at. It is then in no place: say what it waits for, by [`Lanes::began`], [`Lanes::until`] or
    /// [`Lanes::empty`].
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<LaneKey> {
        while let Some((at, key)) = self.timers.first().cloned()
            && at <= now
        {
            self.wake(&key);
        }
        if self.under_way >= self.bounds.all {
            return None;
        }
        for _ in 0..self.turns.len() {
            let tenant = self.turns.pop_front()?;
            if self.of_tenants.get(&tenant).is_some_and(|count| *count >= self.bounds.tenant) {
                self.turns.push_back(tenant);
                continue;
            }
            let Some(ready) = self.ready.get_mut(&tenant) else { continue };
            let key = ready.pop_front();
            match ready.is_empty() {
                true => _ = self.ready.remove(&tenant),
                false => self.turns.push_back(tenant),
            }
            if let Some(lane) = key.as_ref().and_then(|key| self.lanes.get_mut(key)) {
                lane.place = Place::Idle;
            }
            return key;
        }
        None
    }

    /// A lane.
    pub(crate) fn lane(&mut self, key: &LaneKey) -> &mut Lane {
        self.lanes.entry(key.clone()).or_default()
    }

    /// Deliveries of a lane are under way. It is ready for the next one, unless too many are.
    pub(crate) fn began(&mut self, key: &LaneKey, due: Timestamp, ids: &[String]) {
        self.due(key, Some(due));
        let bound = self.bounds.endpoint;
        let lane = self.lane(key);
        lane.under_way.extend(ids.iter().cloned());
        let more = lane.under_way.len() < bound;
        self.under_way += 1;
        *self.of_tenants.entry(key.tenant.clone()).or_default() += 1;
        if more {
            self.wake(key);
        }
    }

    /// Deliveries that went together are under way no more.
    pub(crate) fn ended(&mut self, key: &LaneKey, ids: &[String]) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(count) = self.of_tenants.get_mut(&key.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_tenants.remove(&key.tenant);
            }
        }
        let lane = self.lane(key);
        for id in ids {
            lane.under_way.remove(id);
        }
        self.wake(key);
    }

    /// Nothing is to be done for a lane before then; its first delivery is, or was, due at `due`.
    pub(crate) fn until(&mut self, key: &LaneKey, at: Timestamp, due: Timestamp) {
        self.due(key, Some(due));
        self.lane(key).place = Place::Until(at);
        self.timers.insert((at, key.clone()));
    }

    /// Nothing is left in a lane but what is under way.
    pub(crate) fn empty(&mut self, key: &LaneKey) {
        if self.lane(key).under_way.is_empty() {
            self.due(key, None);
            self.lanes.remove(key);
        }
    }

    fn due(&mut self, key: &LaneKey, due: Option<Timestamp>) {
        let lane = self.lanes.entry(key.clone()).or_default();
        if let Some(former) = lane.due {
            self.dues.remove(&(former, key.clone()));
        }
        lane.due = due;
        if let Some(due) = due {
            self.dues.insert((due, key.clone()));
        }
    }

    /// When the next lane that waits for a time is to be looked at.
    pub(crate) fn timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Since when the delivery is due that waits longest.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.dues.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use jiff::SignedDuration;
    use sluice_model::Slug;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn key(tenant: &str, endpoint: &str) -> LaneKey {
        LaneKey { tenant: Slug::parse(tenant).unwrap(), endpoint: endpoint.to_owned() }
    }

    fn lanes(all: usize, tenant: usize, endpoint: usize) -> Lanes {
        Lanes::new(Bounds { all, tenant, endpoint })
    }

    /// Begins deliveries until no lane has a turn; the answer is whose they were.
    fn turns(lanes: &mut Lanes) -> Vec<String> {
        let mut taken = Vec::new();
        while let Some(key) = lanes.next(NOW) {
            let id = format!("{}-{}", key.endpoint, taken.len());
            lanes.began(&key, NOW, &[id]);
            taken.push(format!("{}/{}", key.tenant, key.endpoint));
        }
        taken
    }

    #[test]
    fn tenants_take_turns_and_so_do_the_endpoints_of_one() {
        let mut lanes = lanes(6, 100, 100);
        for (tenant, endpoint) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")] {
            lanes.wake(&key(tenant, endpoint));
            lanes.wake(&key(tenant, endpoint));
        }
        assert_eq!(turns(&mut lanes), ["a/1", "b/1", "a/2", "b/1", "a/3", "b/1"]);
    }

    #[test]
    fn an_endpoint_a_tenant_and_all_are_bounded_each() {
        let mut some = lanes(5, 3, 2);
        some.wake(&key("a", "1"));
        assert_eq!(turns(&mut some), ["a/1"; 2], "an endpoint takes two at once");
        some.wake(&key("a", "2"));
        assert_eq!(turns(&mut some), ["a/2"], "a tenant three");
        some.wake(&key("b", "1"));
        some.wake(&key("c", "1"));
        assert_eq!(turns(&mut some), ["b/1", "c/1"], "and all five");
        some.ended(&key("b", "1"), &["1-0".to_owned()]);
        let next = turns(&mut some);
        assert_eq!(next.len(), 1, "{next:?}");
        assert_ne!(next[0], "a/2", "whose tenant has all that it may have");
        some.ended(&key("a", "1"), &["1-0".to_owned()]);
        some.ended(&key("c", "1"), &["1-1".to_owned()]);
        let other = next[0].split('/').next().unwrap();
        some.ended(&key(other, "1"), &["1-0".to_owned()]);
        let next = turns(&mut some);
        assert_eq!(next.len(), 3, "{next:?}");
        assert_eq!(next.iter().filter(|turn| turn.starts_with("a/")).count(), 1, "each has its turn: {next:?}");
    }

    #[test]
    fn a_lane_that_waits_is_looked_at_in_time_or_when_something_comes() {
        let mut lanes = lanes(5, 5, 5);
        let (first, second) = (key("a", "1"), key("a", "2"));
        let later = NOW + SignedDuration::from_secs(5);
        for key in [&first, &second] {
            lanes.wake(key);
            assert_eq!(lanes.next(NOW).as_ref(), Some(key));
            lanes.until(key, later, NOW);
        }
        assert_eq!((lanes.next(NOW), lanes.timer(), lanes.oldest()), (None, Some(later), Some(NOW)));
        lanes.wake(&second);
        assert_eq!(lanes.next(NOW), Some(second.clone()));
        lanes.empty(&second);
        assert_eq!(lanes.next(NOW), None);
        assert_eq!(lanes.next(later), Some(first.clone()));
        lanes.empty(&first);
        assert_eq!((lanes.timer(), lanes.oldest(), lanes.lanes.len()), (None, None, 0));
    }

    #[test]
    fn a_lane_whose_last_delivery_is_under_way_is_looked_at_when_it_ends() {
        let mut lanes = lanes(5, 5, 5);
        let key = key("a", "1");
        lanes.wake(&key);
        let ids = ["x".to_owned()];
        lanes.next(NOW).unwrap();
        lanes.began(&key, NOW, &ids);
        assert_eq!(lanes.next(NOW), Some(key.clone()));
        lanes.empty(&key);
        assert_eq!((lanes.next(NOW), lanes.under_way), (None, 1));
        lanes.ended(&key, &ids);
        assert_eq!((lanes.next(NOW), lanes.under_way), (Some(key.clone()), 0));
        lanes.empty(&key);
        assert_eq!((lanes.lanes.len(), lanes.of_tenants.len()), (0, 0));
    }
}
