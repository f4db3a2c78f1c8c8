//! One heap for the engine and for the glue: the C library's.
//!
//! The engine needs allocation functions that know usable sizes, or it never learns how much it holds and never collects.
//! There is no limit here: the host denies growth of the memory, so that it knows for certain that a run met the limit.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};
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

/// What `malloc` aligns to on this target.
const MALLOC_ALIGN: usize = 16;

struct CHeap;

#[global_allocator]
static HEAP: CHeap = CHeap;

// SAFETY: the C library's functions keep the contract of an allocator; alignment above theirs is asked for explicitly.
unsafe impl GlobalAlloc for CHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size of a layout that is allocated is not zero, and its alignment is a power of two.
        unsafe {
            if layout.align() <= MALLOC_ALIGN {
                malloc(layout.size()).cast()
            } else {
                aligned_alloc(layout.align(), layout.size().next_multiple_of(layout.align())).cast()
            }
        }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, _: Layout) {
        // SAFETY: the pointer comes from `alloc` above.
        unsafe { free(ptr.cast()) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the pointer comes from `alloc`; where it was aligned further than `realloc` keeps, it is copied by hand.
        unsafe {
            if layout.align() <= MALLOC_ALIGN {
                return realloc(ptr.cast(), new_size).cast();
            }
            let fresh = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !fresh.is_null() {
                core::ptr::copy_nonoverlapping(ptr, fresh, layout.size().min(new_size));
                free(ptr.cast());
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
        core::ptr::write_bytes(ptr, 0, len);
        free(ptr.cast());
    }
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
                core::ptr::write_bytes(hole.cast::<u8>(), 0, malloc_usable_size(hole));
            }
        }
        // What looking for holes has left at the end of the heap would be in the snapshot.
        let end = malloc(2 * LARGEST);
        if !end.is_null() {
            core::ptr::write_bytes(end.cast::<u8>(), 0, malloc_usable_size(end));
        }
        free(end);
    }
}

/// The sizes of the engine's small blocks, headers included: it takes blocks of one size from pages of their own.
const BLOCKS: [usize; 31] = [
    16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320,
    352, 384, 416, 448, 480, 512,
];

/// The header of a block.
const BLOCK_HEADER: usize = 8;

/// More blocks than all pages of one size can have free.
const MOST_BLOCKS: usize = 1 << 16;

/// Keeps what is allocated from here on out of the pages that there are, until [`release`]: takes all their free blocks, and
/// answers them as a list, each with the address of the next.
///
/// # Safety
/// The context is alive.
pub(crate) unsafe fn reserve(context: *mut q::JSContext) -> *mut c_void {
    let mut blocks: *mut c_void = core::ptr::null_mut();
    // SAFETY: each block has room for an address.
    unsafe {
        fill(context, |block| {
            block.cast::<*mut c_void>().write(blocks);
            blocks = block;
        });
    }
    blocks
}

/// Gives the blocks of [`reserve`] back. What is allocated next comes from them, in the order in which it would have come without.
///
/// # Safety
/// The context is alive, and the list is one of [`reserve`] that is given back once.
pub(crate) unsafe fn release(context: *mut q::JSContext, mut blocks: *mut c_void) {
    while !blocks.is_null() {
        // SAFETY: the caller's promise.
        unsafe {
            let next = blocks.cast::<*mut c_void>().read();
            q::js_free(context, blocks);
            blocks = next;
        }
    }
}

/// Makes a fresh page for each size of block, side by side at the end of the heap, and fills those that there were.
///
/// # Safety
/// The context is alive.
pub(crate) unsafe fn pack(context: *mut q::JSContext) {
    // SAFETY: the caller's promise. What is not given back stays.
    unsafe { fill(context, |_| {}) }
}

/// Takes every free block of every page, and the first of a fresh page for each size. The block that made the page is not
/// handed on: it keeps the page.
unsafe fn fill(context: *mut q::JSContext, mut take: impl FnMut(*mut c_void)) {
    for block in BLOCKS {
        for _ in 0..MOST_BLOCKS {
            let before = taken();
            // SAFETY: a plain allocation.
            let block = unsafe { q::js_malloc(context, (block - BLOCK_HEADER) as _) };
            if taken() != before {
                break;
            }
            take(block);
        }
    }
}

/// How often the engine has taken memory from this heap, for a page of blocks or for what is larger than any block.
static TAKEN: AtomicU32 = AtomicU32::new(0);

fn taken() -> u32 {
    TAKEN.load(Ordering::Relaxed)
}

unsafe extern "C" fn js_calloc(_: *mut c_void, count: q::size_t, size: q::size_t) -> *mut c_void {
    // SAFETY: plain forwarding.
    unsafe { calloc(count as usize, size as usize) }
}

unsafe extern "C" fn js_malloc(_: *mut c_void, size: q::size_t) -> *mut c_void {
    TAKEN.store(taken().wrapping_add(1), Ordering::Relaxed);
    // SAFETY: plain forwarding.
    unsafe { malloc(size as usize) }
}

unsafe extern "C" fn js_free(_: *mut c_void, ptr: *mut c_void) {
    // SAFETY: plain forwarding; the engine frees what it allocated.
    unsafe { free(ptr) }
}

unsafe extern "C" fn js_realloc(_: *mut c_void, ptr: *mut c_void, size: q::size_t) -> *mut c_void {
    // SAFETY: plain forwarding.
    unsafe { realloc(ptr, size as usize) }
}

unsafe extern "C" fn js_usable_size(ptr: *const c_void) -> q::size_t {
    // SAFETY: plain forwarding; null has the usable size 0.
    unsafe { malloc_usable_size(ptr.cast_mut()) as q::size_t }
}

/// What the engine allocates with.
pub(crate) static FUNCTIONS: q::JSMallocFunctions = q::JSMallocFunctions {
    js_calloc: Some(js_calloc),
    js_malloc: Some(js_malloc),
    js_free: Some(js_free),
    js_realloc: Some(js_realloc),
    js_malloc_usable_size: Some(js_usable_size),
};
