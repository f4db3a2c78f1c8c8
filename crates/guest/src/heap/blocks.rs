//! Small blocks, side by side in the order in which they are asked for.
//!
//! What a run costs beyond its own work is the pages of memory that it writes to: each is copied back before the slot's next
//! run. An allocator that keeps a page for each size of block spreads the little that a run allocates over all of them; this
//! one cuts every block off the front of one chunk, so that what belongs together in time lies together in memory.
//!
//! A block is a word that holds its size, and as much memory as fits behind it up to the next word that is a multiple of 8
//! less 4, so that the memory is aligned to 8. Freed blocks are kept by size in lists that run through the blocks, the last freed
//! first. Blocks are never merged: Actions live for milliseconds, and their memory has a limit of its own.

use core::ptr;

/// The largest block, in bytes of its memory. What is larger is for the C library.
pub(crate) const LARGEST: usize = 516;

/// The word in front of a block's memory.
const HEADER: usize = 4;

/// Blocks start at multiples of this, less [`HEADER`].
const STEP: usize = 8;

/// The smallest block and its word; a free block holds an address.
const SMALLEST: usize = 16;

/// One list of free blocks for each size.
const LISTS: usize = (LARGEST + HEADER) / STEP + 1;

/// The bit in a block's word that says that it is free, while [`Blocks::settle`] goes through them. Sizes are multiples of [`STEP`].
const FREE: u32 = 1;

/// A chunk begins with this.
#[repr(C, align(8))]
struct Chunk {
    /// The chunk before it.
    before: *mut Chunk,
    /// Where its blocks end; for the chunk that blocks are cut from, that is `Blocks::front`.
    front: *mut u8,
}

/// Small blocks; see the [module](self).
pub(crate) struct Blocks {
    /// The chunk that blocks are cut from, and those before it.
    chunk: *mut Chunk,
    /// Where the next block's word goes.
    front: *mut u8,
    /// Where the chunk ends.
    end: *mut u8,
    /// As far as the chunk was ever written to.
    reached: *mut u8,
    /// The free blocks of each size, by their memory.
    free: [*mut u8; LISTS],
}

/// The size of the block, its word included, that has room for `size` bytes.
const fn step(size: usize) -> usize {
    let whole = (size + HEADER).next_multiple_of(STEP);
    if whole < SMALLEST { SMALLEST } else { whole }
}

impl Blocks {
    /// None yet.
    pub(crate) const fn new() -> Blocks {
        const NONE: *mut u8 = ptr::null_mut();
        Blocks { chunk: ptr::null_mut(), front: NONE, end: NONE, reached: NONE, free: [NONE; LISTS] }
    }

    /// A block of at least `size` bytes, at most [`LARGEST`], or null where there is neither a free block nor room in the chunk.
    #[inline]
    pub(crate) fn take(&mut self, size: usize) -> *mut u8 {
        let step = step(size);
        // SAFETY: what is in a list is a free block of that size, which holds the next, and no size has a list beyond the
        // last; a block is cut only where it fits.
        unsafe {
            let list = self.free.get_unchecked_mut(step / STEP);
            let block = *list;
            if !block.is_null() {
                *list = block.cast::<*mut u8>().read();
                block
            } else if step > self.end as usize - self.front as usize {
                ptr::null_mut()
            } else {
                self.cut(step)
            }
        }
    }

    /// Cuts a block off the front.
    ///
    /// # Safety
    /// The chunk has room for it.
    #[inline]
    unsafe fn cut(&mut self, step: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            let block = self.front.add(HEADER);
            set_word(block, step, false);
            self.front = self.front.add(step);
            block
        }
    }

    /// As [`Blocks::take`] where there is no memory for another chunk: a larger block does.
    pub(crate) fn take_larger(&mut self, size: usize) -> *mut u8 {
        for list in step(size) / STEP..LISTS {
            if !self.free[list].is_null() {
                return self.take(list * STEP - HEADER);
            }
        }
        ptr::null_mut()
    }

    /// Cuts from this memory from now on. What is left of the chunk before it becomes a free block.
    ///
    /// # Safety
    /// It is aligned to 8, nobody else's, stays, and has room for a block and 24 bytes more.
    pub(crate) unsafe fn add(&mut self, memory: *mut u8, len: usize) {
        self.leave_chunk();
        // SAFETY: the caller's promise.
        unsafe {
            let chunk = memory.cast::<Chunk>();
            chunk.write(Chunk { before: self.chunk, front: ptr::null_mut() });
            self.chunk = chunk;
            self.front = memory.add(first());
            self.end = memory.add(len);
            self.reached = self.front;
        }
    }

    /// Makes what is left of the chunk a free block.
    fn leave_chunk(&mut self) {
        if self.chunk.is_null() {
            return;
        }
        let left = (self.end as usize - self.front as usize) / STEP * STEP;
        // SAFETY: a block is cut where it fits, and freed at once; the chunk is the one that blocks are cut from.
        unsafe {
            if (SMALLEST..LISTS * STEP).contains(&left) {
                let block = self.cut(left);
                self.give(block);
            }
            (*self.chunk).front = self.front;
        }
    }

    /// How many bytes a block has.
    ///
    /// # Safety
    /// It is a block that is taken, or a null.
    pub(crate) unsafe fn size(block: *const u8) -> usize {
        // SAFETY: the caller's promise.
        unsafe { word(block).0 - HEADER }
    }

    /// Frees a block.
    ///
    /// # Safety
    /// It was taken from here, and is used no more.
    #[inline]
    pub(crate) unsafe fn give(&mut self, block: *mut u8) {
        // SAFETY: the caller's promise; a block's word is one of the sizes that have a list.
        unsafe {
            let list = self.free.get_unchecked_mut(word(block).0 / STEP);
            block.cast::<*mut u8>().write(*list);
            *list = block;
        }
    }

    /// Makes a block as large as `size` where it is; whether it could.
    ///
    /// # Safety
    /// It was taken from here.
    pub(crate) unsafe fn resize(&mut self, block: *mut u8, size: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let (old, new) = (word(block).0, step(size));
            let start = block.sub(HEADER);
            if start.add(old) != self.front || new >= LISTS * STEP {
                return new <= old;
            }
            if new > self.end as usize - start as usize {
                return false;
            }
            self.reached = self.reached.max(self.front);
            self.front = start.add(new);
            set_word(block, new, false);
        }
        true
    }

    /// Wipes what is free, gives the free blocks at the front back to the chunk, and has the others taken from the start. Answers
    /// the bytes of the blocks that are taken since the last [`Blocks::seal`]. Free blocks from before it are taken no more.
    pub(crate) fn settle(&mut self) -> usize {
        for list in &mut self.free {
            let mut block = core::mem::replace(list, ptr::null_mut());
            while !block.is_null() {
                // SAFETY: it was in a list, so it is a free block, which holds the next.
                unsafe {
                    set_word(block, word(block).0, true);
                    block = block.cast::<*mut u8>().read();
                }
            }
        }
        let mut last = [ptr::null_mut::<u8>(); LISTS];
        let mut taken = 0;
        let (mut chunk, mut front) = (self.chunk, self.front);
        while !chunk.is_null() {
            // SAFETY: chunks are whole: block after block from the first to the front.
            unsafe {
                let mut at = chunk.cast::<u8>().add(first());
                // Free blocks that nothing follows, so far: they are wiped, and not in their lists yet.
                let mut tail = at;
                while at < front {
                    let block = at.add(HEADER);
                    let (step, free) = word(block);
                    at = at.add(step);
                    if free {
                        ptr::write_bytes(block, 0, step - HEADER);
                        continue;
                    }
                    taken += step;
                    self.append(tail, block.sub(HEADER), &mut last);
                    tail = at;
                }
                if chunk == self.chunk {
                    self.reached = self.reached.max(self.front);
                    ptr::write_bytes(tail, 0, self.reached as usize - tail as usize);
                    (self.front, self.reached) = (tail, tail);
                } else {
                    self.append(tail, front, &mut last);
                }
                chunk = (*chunk).before;
                if !chunk.is_null() {
                    front = (*chunk).front;
                }
            }
        }
        taken
    }

    /// Puts the free blocks between two addresses at the end of their lists.
    ///
    /// # Safety
    /// Between them lie blocks that are free, wiped and in no list.
    unsafe fn append(&mut self, mut at: *mut u8, end: *mut u8, last: &mut [*mut u8; LISTS]) {
        while at < end {
            // SAFETY: the caller's promise.
            unsafe {
                let block = at.add(HEADER);
                let (step, _) = word(block);
                set_word(block, step, false);
                at = at.add(step);
                let list = step / STEP;
                match last[list].is_null() {
                    true => self.free[list] = block,
                    false => last[list].cast::<*mut u8>().write(block),
                }
                last[list] = block;
            }
        }
    }

    /// Leaves all there is as it is: what is taken from here on lies in chunks to come.
    pub(crate) fn seal(&mut self) {
        self.settle();
        *self = Blocks::new();
    }
}

/// How far from a chunk's start its first block's word lies.
const fn first() -> usize {
    (size_of::<Chunk>() + HEADER).next_multiple_of(STEP) - HEADER
}

/// The size of a block with its word, and whether it is free.
///
/// # Safety
/// It is a block.
unsafe fn word(block: *const u8) -> (usize, bool) {
    // SAFETY: the caller's promise.
    let word = unsafe { block.sub(HEADER).cast::<u32>().read() };
    ((word & !FREE) as usize, word & FREE != 0)
}

/// Writes a block's word.
///
/// # Safety
/// It is a block, or becomes one.
unsafe fn set_word(block: *mut u8, step: usize, free: bool) {
    // SAFETY: the caller's promise. No block is longer than a chunk's few KiB.
    unsafe { block.sub(HEADER).cast::<u32>().write(step as u32 | if free { FREE } else { 0 }) }
}
