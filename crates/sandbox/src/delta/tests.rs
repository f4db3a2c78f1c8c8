//! Deltas rebuild exactly what they were taken from.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{BadDelta, Delta};
use crate::rewrite::PAGE_BYTES;
use proptest::prelude::*;

fn rebuilt(base: &[u8], delta: &Delta) -> Vec<u8> {
    let mut memory = base.to_vec();
    memory.resize(delta.pages() as usize * PAGE_BYTES, 0);
    assert!(delta.apply(&mut memory));
    memory
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_change_is_rebuilt(changes in prop::collection::vec((0..3 * PAGE_BYTES, any::<u8>()), 0..200), grown in 0..2_usize) {
        let base: Vec<u8> = (0..=250).cycle().take(2 * PAGE_BYTES).collect();
        let mut memory = base.clone();
        memory.resize((2 + grown) * PAGE_BYTES, 0);
        for (at, byte) in changes {
            if let Some(place) = memory.get_mut(at) {
                *place = byte;
            }
        }
        let delta = Delta::between(&base, &memory, &[]);
        prop_assert!(rebuilt(&base, &delta) == memory);
        let mut written = Vec::new();
        delta.write(&mut written);
        prop_assert_eq!(Delta::read(&written, 3).unwrap(), delta);
    }

    #[test]
    fn bytes_of_any_kind_are_read_or_refused_but_never_written_outside(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(delta) = Delta::read(&bytes, 2) {
            let mut memory = vec![0; delta.pages() as usize * PAGE_BYTES];
            prop_assert!(delta.apply(&mut memory));
        }
    }
}

#[test]
fn what_is_dead_is_not_in_it() {
    let base = vec![0; PAGE_BYTES];
    let memory = vec![7; PAGE_BYTES];
    let delta = Delta::between(&base, &memory, &[0..1024, 4096..8192]);
    let rebuilt = rebuilt(&base, &delta);
    assert!(rebuilt[..1024].iter().chain(&rebuilt[4096..8192]).all(|b| *b == 0));
    assert!(rebuilt[1024..4096].iter().chain(&rebuilt[8192..]).all(|b| *b == 7));
}

#[test]
fn a_memory_that_is_too_small_is_not_written_past() {
    let delta = Delta::between(&[0; PAGE_BYTES], &[1; PAGE_BYTES], &[]);
    assert!(!delta.apply(&mut [0; 128]));
}

#[test]
fn more_pages_than_a_memory_may_have_are_refused() {
    let mut written = Vec::new();
    Delta::between(&[], &[1; 2 * PAGE_BYTES], &[]).write(&mut written);
    assert_eq!(Delta::read(&written, 1), Err(BadDelta));
}
