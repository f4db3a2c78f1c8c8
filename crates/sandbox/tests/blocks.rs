//! The allocator of the guest's small blocks, which is plain memory arithmetic: the very file, compiled for this machine.
#![allow(unsafe_code, reason = "what is tested works on raw memory")]

#[allow(clippy::cast_possible_truncation, reason = "it is written for addresses of 32 bits")]
#[path = "../../guest/src/heap/blocks.rs"]
mod blocks;

use blocks::{Blocks, LARGEST};
use proptest::prelude::*;

/// Memory for chunks, aligned as the C library's is.
#[repr(align(16))]
struct Chunk([u8; 4096]);

#[derive(Clone, Debug)]
enum Step {
    Take(usize),
    Give(usize),
    Resize(usize, usize),
    Settle,
    Seal,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..=LARGEST).prop_map(Step::Take),
        8 => (1..=40_usize).prop_map(Step::Take),
        10 => any::<usize>().prop_map(Step::Give),
        4 => (any::<usize>(), 1..=LARGEST).prop_map(|(which, size)| Step::Resize(which, size)),
        1 => Just(Step::Settle),
        1 => Just(Step::Seal),
    ]
}

/// A block that is taken, the bytes that it was asked for, and what they were filled with.
struct Taken {
    block: *mut u8,
    size: usize,
    filled: u8,
}

impl Taken {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the block is taken and has these bytes.
        unsafe { std::slice::from_raw_parts(self.block, self.size) }
    }

    fn fill(&mut self, filled: u8) {
        self.filled = filled;
        // SAFETY: as above.
        unsafe { std::ptr::write_bytes(self.block, filled, self.size) };
    }
}

#[derive(Default)]
struct Heap {
    chunks: Vec<Box<Chunk>>,
    taken: Vec<Taken>,
    /// What the last block was filled with.
    fills: u8,
}

impl Heap {
    fn take(&mut self, blocks: &mut Blocks, size: usize) {
        let mut block = blocks.take(size);
        if block.is_null() {
            let mut chunk = Box::new(Chunk([0; 4096]));
            // SAFETY: the chunk is kept until the end, and nobody else writes to it.
            unsafe { blocks.add(chunk.0.as_mut_ptr(), chunk.0.len()) };
            self.chunks.push(chunk);
            block = blocks.take(size);
        }
        assert!(!block.is_null(), "a fresh chunk has room");
        assert_eq!(block as usize % 8, 0);
        // SAFETY: it is taken.
        assert!(unsafe { Blocks::size(block) } >= size);
        let end = block as usize + size;
        let inside = self.chunks.iter().any(|chunk| {
            let start = chunk.0.as_ptr() as usize;
            block as usize >= start && end <= start + chunk.0.len()
        });
        assert!(inside, "a block lies in a chunk");
        self.fills = self.fills.wrapping_add(1) | 1;
        let mut taken = Taken { block, size, filled: 0 };
        taken.fill(self.fills);
        self.taken.push(taken);
    }

    /// No two blocks share a byte: what each was filled with is there.
    fn check(&self) {
        for taken in &self.taken {
            assert!(taken.bytes().iter().all(|byte| *byte == taken.filled), "a block was written to by another");
        }
    }
}

proptest! {
    #[test]
    fn blocks_never_overlap_and_keep_what_is_in_them(steps in prop::collection::vec(step(), 1..400)) {
        let (mut blocks, mut heap) = (Blocks::new(), Heap::default());
        for step in steps {
            match step {
                Step::Take(size) => heap.take(&mut blocks, size),
                Step::Give(which) if !heap.taken.is_empty() => {
                    let taken = heap.taken.swap_remove(which % heap.taken.len());
                    // SAFETY: it was taken, and is forgotten.
                    unsafe { blocks.give(taken.block) };
                }
                Step::Resize(which, size) if !heap.taken.is_empty() => {
                    let at = which % heap.taken.len();
                    let fills = heap.fills;
                    let taken = &mut heap.taken[at];
                    // SAFETY: it is taken.
                    if unsafe { blocks.resize(taken.block, size) } {
                        let kept = taken.size.min(size);
                        assert!(taken.bytes()[..kept].iter().all(|byte| *byte == taken.filled));
                        // SAFETY: it is taken.
                        assert!(unsafe { Blocks::size(taken.block) } >= size);
                        taken.size = size;
                        taken.fill(fills);
                    }
                }
                Step::Settle => {
                    let told = blocks.settle();
                    let least: usize = heap.taken.iter().map(|taken| taken.size).sum();
                    // Blocks from before the last seal are not in what it tells, so it may be less than all that is taken.
                    assert!(told <= least + heap.taken.len() * LARGEST);
                }
                Step::Seal => blocks.seal(),
                _ => {}
            }
            heap.check();
        }
        for taken in heap.taken.drain(..) {
            // SAFETY: it was taken, and is forgotten.
            unsafe { blocks.give(taken.block) };
        }
        blocks.seal();
    }
}

#[test]
fn what_is_freed_is_wiped_and_taken_again_in_order() {
    let (mut blocks, mut heap) = (Blocks::new(), Heap::default());
    for _ in 0..6 {
        heap.take(&mut blocks, 40);
    }
    let at: Vec<*mut u8> = heap.taken.iter().map(|taken| taken.block).collect();
    // SAFETY: all are taken, and each is given back once.
    unsafe {
        for which in [5, 1, 3, 4] {
            blocks.give(at[which]);
        }
    }
    heap.taken.clear();
    let taken = blocks.settle();
    // 40 bytes and their word, rounded up: three are taken, 0, 2, and nothing behind the last free ones.
    assert_eq!(taken, 2 * 48);
    let again: Vec<*mut u8> = (0..4).map(|_| blocks.take(40)).collect();
    assert_eq!(again, [at[1], at[3], at[4], at[5]], "the hole first, then what went back to the chunk");
    // SAFETY: they are taken. A free block that is in a list holds an address, which is left in it.
    unsafe {
        assert!(std::slice::from_raw_parts(again[1], 40).iter().all(|byte| *byte == 0));
    }
    assert!(std::iter::from_fn(|| Some(blocks.take(LARGEST)).filter(|block| !block.is_null())).count() < 8);
}

#[test]
fn the_last_block_grows_where_it_is_and_a_larger_one_does_where_there_is_no_memory() {
    let (mut blocks, mut heap) = (Blocks::new(), Heap::default());
    heap.take(&mut blocks, 16);
    heap.take(&mut blocks, 100);
    // SAFETY: both are taken.
    unsafe {
        assert!(blocks.resize(heap.taken[1].block, 300), "nothing follows it");
        assert!(!blocks.resize(heap.taken[0].block, 300), "something follows it");
        blocks.give(heap.taken[1].block);
    }
    while !blocks.take(LARGEST).is_null() {}
    while !blocks.take(100).is_null() {}
    assert_eq!(blocks.take_larger(100), heap.taken[1].block);
    assert!(blocks.take_larger(100).is_null());
}
