//! One heap for the engine and for the glue: small blocks of its own ([`blocks`]), and the C library's for what is larger.
//!
//! The engine needs allocation functions that know usable sizes, or it never learns how much it holds and never collects.
//! There is no limit here: the host denies growth of the memory, so that it knows for certain that a run met the limit.

mod blocks;

use blocks::{Blocks, LARGEST};
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use rquickjs_sys as q;

unsafe extern "C" {
    pub(crate) fn __wasm_call_ctors();
    fn malloc(size: usize) -> *mut c_void;
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void;
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn malloc_usable_size(ptr: *mut c_void) -> usize;
    fn free(ptr: *mut c_void);
}

/// What blocks of either kind are aligned to.
const ALIGN: usize = 8;

/// What lies in front of a block of the C library's: its last word is 0, which is the size of no small block.
const MARK: usize = 8;

/// Small blocks come from chunks of this size. A run that needs another writes to the pages of it that it uses.
const CHUNK: usize = 64 << 10;

struct Heap(UnsafeCell<State>);

struct State {
    blocks: Blocks,
    /// Bytes of the blocks of the C library's that are taken.
    large: usize,
    /// What they were when the blocks were last sealed.
    sealed: usize,
}

// SAFETY: the module has one thread, and no function here calls out of this file and the C library's while it has the state.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(State { blocks: Blocks::new(), large: 0, sealed: 0 }));

/// The heap's state.
///
/// # Safety
/// The reference is gone before the next call.
unsafe fn state() -> &'static mut State {
    // SAFETY: one thread, and the caller's promise.
    unsafe { &mut *HEAP.0.get() }
}

impl State {
    /// A block of any size, or null.
    #[inline]
    unsafe fn take(&mut self, size: usize) -> *mut u8 {
        // SAFETY: plain allocations.
        unsafe {
            if size > LARGEST {
                return self.take_large(malloc(size.saturating_add(MARK)));
            }
            let block = self.blocks.take(size);
            if block.is_null() { self.take_slowly(size) } else { block }
        }
    }

    #[cold]
    unsafe fn take_slowly(&mut self, size: usize) -> *mut u8 {
        // SAFETY: a chunk is nobody else's, and stays.
        unsafe {
            let chunk = malloc(CHUNK);
            if chunk.is_null() {
                return self.blocks.take_larger(size);
            }
            self.blocks.add(chunk.cast(), CHUNK);
        }
        self.blocks.take(size)
    }

    /// Makes a block of what the C library gave, which has [`MARK`] bytes to spare.
    unsafe fn take_large(&mut self, start: *mut c_void) -> *mut u8 {
        if start.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe {
            self.large += malloc_usable_size(start);
            let block = start.cast::<u8>().add(MARK);
            block.cast::<u32>().sub(1).write(0);
            block
        }
    }

    /// As [`State::take`], all zeroes.
    unsafe fn take_zeroed(&mut self, size: usize) -> *mut u8 {
        // SAFETY: plain allocations, and a block has the size that it was asked for.
        unsafe {
            if size > LARGEST {
                return self.take_large(calloc(1, size.saturating_add(MARK)));
            }
            let block = self.take(size);
            if !block.is_null() {
                ptr::write_bytes(block, 0, size);
            }
            block
        }
    }

    /// Frees a block.
    ///
    /// # Safety
    /// It was taken from here, and is used no more.
    #[inline]
    unsafe fn give(&mut self, block: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            if is_large(block) {
                let start = block.sub(MARK).cast::<c_void>();
                self.large -= malloc_usable_size(start);
                free(start);
            } else {
                self.blocks.give(block);
            }
        }
    }

    /// Makes a block as large as `size`, elsewhere where that must be; null, and the block as it was, where there is no memory.
    ///
    /// # Safety
    /// It was taken from here; unless the answer is null, it is used no more.
    unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            if is_large(block) {
                let start = block.sub(MARK).cast::<c_void>();
                let before = malloc_usable_size(start);
                let moved = realloc(start, size.saturating_add(MARK));
                if !moved.is_null() {
                    self.large -= before;
                }
                return self.take_large(moved);
            }
            if size <= LARGEST && self.blocks.resize(block, size) {
                return block;
            }
            let moved = self.take(size);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, Blocks::size(block).min(size));
                self.blocks.give(block);
            }
            moved
        }
    }
}

/// Whether a block is the C library's.
///
/// # Safety
/// It was taken from this heap.
unsafe fn is_large(block: *mut u8) -> bool {
    // SAFETY: either kind has a word in front.
    unsafe { block.cast::<u32>().sub(1).read() == 0 }
}

// SAFETY: blocks are aligned to 8 and have the size that was asked for; alignment above that is the C library's, and the layout
// tells which it was.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size of a layout that is allocated is not zero, and its alignment is a power of two.
        unsafe {
            if layout.align() <= ALIGN {
                state().take(layout.size())
            } else {
                aligned_alloc(layout.align(), layout.size().next_multiple_of(layout.align())).cast()
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block comes from `alloc` above.
        unsafe {
            if layout.align() <= ALIGN {
                state().give(block);
            } else {
                free(block.cast());
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the block comes from `alloc`; where it is aligned further than blocks are, it is copied by hand.
        unsafe {
            if layout.align() <= ALIGN {
                return state().resize(block, new_size);
            }
            let fresh = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !fresh.is_null() {
                ptr::copy_nonoverlapping(block, fresh, layout.size().min(new_size));
                free(block.cast());
            }
            fresh
        }
    }
}

/// A zeroed buffer, or null.
pub(crate) fn zeroed(len: usize) -> *mut u8 {
    // SAFETY: any size may be asked for.
    unsafe { calloc(len.max(1), 1).cast() }
}

/// Wipes a buffer of [`zeroed`] and frees it.
///
/// # Safety
/// It was allocated by [`zeroed`] with this length and is used no more.
pub(crate) unsafe fn wipe(ptr: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        clear(ptr, len);
        free(ptr.cast());
    }
}

/// Writes zeroes that the compiler does not leave out, as it may where the memory is freed next.
///
/// # Safety
/// The memory is ours to write.
unsafe fn clear(ptr: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { ptr::write_bytes(core::hint::black_box(ptr), 0, len) };
    core::hint::black_box(ptr);
}

/// Memory that the base image has to spare, in bytes. A run that needs no more never has to grow its memory, which would
/// cost it a system call; but every page costs a little when the run's memory is reset.
const SPARE: usize = 128 << 10;

/// Makes sure that the heap has [`SPARE`] bytes in one piece at its end.
pub(crate) fn spare() {
    // SAFETY: allocated and freed at once; nothing can come between, so it becomes one piece with the end of the heap.
    unsafe { free(malloc(SPARE)) }
}

/// Fills the holes of the heap with zeroes that nobody gets, so that what is allocated from here on lies side by side at its
/// end. Before a snapshot this makes the snapshot smaller, since the holes hold what parsing left; and each run writes to
/// fewer pages, which are what resetting a run's memory costs.
pub(crate) fn fill_holes() {
    const LARGEST: usize = 32 << 10;
    const SMALLEST: usize = 16;
    // SAFETY: plain allocations; what lies before the end of the heap is kept for good, and its bytes are ours to write.
    unsafe {
        // Larger than any hole, or as good as the end where it is not.
        let end = malloc(2 * LARGEST);
        free(end);
        let mut size = LARGEST;
        while size >= SMALLEST {
            let hole = malloc(size);
            if hole.is_null() || hole >= end {
                free(hole);
                size /= 2;
            } else {
                clear(hole.cast(), malloc_usable_size(hole));
            }
        }
        // What looking for holes has left at the end of the heap would be in the snapshot.
        let end = malloc(2 * LARGEST);
        if !end.is_null() {
            clear(end.cast(), malloc_usable_size(end));
        }
        free(end);
    }
}

/// What small blocks of Actions come from at first. A top level and a run of the usual size need no more.
const ACTION_CHUNK: usize = 128 << 10;

/// Keeps what there is apart from what is allocated from here on, which gets a place of its own; for a base image.
pub(crate) fn seal() {
    // SAFETY: nothing else has the state. A chunk is nobody else's, and stays; it is zeroes, as wiped blocks are.
    unsafe {
        let state = state();
        state.sealed = state.large;
        state.blocks.seal();
        let chunk = calloc(1, ACTION_CHUNK);
        if !chunk.is_null() {
            state.blocks.add(chunk.cast(), ACTION_CHUNK);
        }
    }
}

/// Garbage below this stays: collecting relinks every object of the base image, so that each page with one would be in the
/// snapshot and be written back before each run, which are some 20 pages.
const WORTH_COLLECTING: usize = 32 << 10;

/// Wipes what is free, so that it is not in a snapshot, and leaves the heap so that what is allocated next lies side by side.
/// Whether enough was taken since [`seal`] that collecting garbage can be worth what it costs.
pub(crate) fn settle() -> bool {
    // SAFETY: nothing else has the state.
    let taken = unsafe {
        let state = state();
        state.blocks.settle() + state.large.saturating_sub(state.sealed)
    };
    fill_holes();
    taken >= WORTH_COLLECTING
}

unsafe extern "C" fn js_calloc(_: *mut c_void, count: q::size_t, size: q::size_t) -> *mut c_void {
    // SAFETY: plain forwarding; the engine has checked that the product is none too large.
    unsafe { state().take_zeroed(count as usize * size as usize).cast() }
}

unsafe extern "C" fn js_malloc(_: *mut c_void, size: q::size_t) -> *mut c_void {
    // SAFETY: plain forwarding.
    unsafe { state().take(size as usize).cast() }
}

unsafe extern "C" fn js_free(_: *mut c_void, block: *mut c_void) {
    // SAFETY: plain forwarding; the engine frees what it allocated, or nothing.
    unsafe {
        if !block.is_null() {
            state().give(block.cast());
        }
    }
}

unsafe extern "C" fn js_realloc(_: *mut c_void, block: *mut c_void, size: q::size_t) -> *mut c_void {
    // SAFETY: plain forwarding; the engine resizes what it allocated, or nothing.
    unsafe {
        match block.is_null() {
            true => state().take(size as usize).cast(),
            false => state().resize(block.cast(), size as usize).cast(),
        }
    }
}

unsafe extern "C" fn js_usable_size(block: *const c_void) -> q::size_t {
    if block.is_null() {
        return 0;
    }
    // SAFETY: a block of this heap.
    unsafe {
        let block = block.cast::<u8>().cast_mut();
        let size = match is_large(block) {
            true => malloc_usable_size(block.sub(MARK).cast()) - MARK,
            false => Blocks::size(block),
        };
        size as q::size_t
    }
}

/// What the engine allocates with.
pub(crate) static FUNCTIONS: q::JSMallocFunctions = q::JSMallocFunctions {
    js_calloc: Some(js_calloc),
    js_malloc: Some(js_malloc),
    js_free: Some(js_free),
    js_realloc: Some(js_realloc),
    js_malloc_usable_size: Some(js_usable_size),
};
