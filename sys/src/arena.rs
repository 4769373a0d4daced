//! An allocator for programs that live for milliseconds.
//!
//! A command makes some thousand small allocations and exits. The C library that we are linked
//! with asks the kernel for a mapping for nearly every new size and gives it back as soon as it
//! is free, which costs more than all the rest of the command's own work. Here the first
//! [`ARENA_BYTES`] are cut from one zeroed piece of the program's data and hardly ever given back;
//! what is larger, or comes when the piece is used up, is the system's.
//!
//! A process that lives long calls [`Arena::retire`] and uses the system's allocator from then on.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much is cut at most: enough for a list of thousands. Pages that were never touched cost
/// nothing.
const ARENA_BYTES: usize = 8 << 20;
/// Larger allocations are the system's: a buffer that grows would be copied through the arena.
const LARGEST: usize = 16 << 10;

/// The allocator; made for `#[global_allocator]`.
#[derive(Debug)]
pub struct Arena;

#[repr(align(4096))]
struct Piece(UnsafeCell<[u8; ARENA_BYTES]>);

// SAFETY: the bytes are only handed out in parts that do not overlap, by `cut`, which reserves
// each part with one atomic exchange before anybody gets its address.
unsafe impl Sync for Piece {}

static PIECE: Piece = Piece(UnsafeCell::new([0; ARENA_BYTES]));
/// Where the unused part begins.
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Arena {
    /// Leaves everything from now on to the system's allocator. What was cut stays where it is.
    pub fn retire() {
        NEXT.store(ARENA_BYTES, Ordering::Relaxed);
    }
}

fn base() -> *mut u8 {
    PIECE.0.get().cast()
}

/// Where in the piece `address` is, if it is there.
fn place_of(address: *mut u8) -> Option<usize> {
    (address as usize).checked_sub(base() as usize).filter(|place| *place < ARENA_BYTES)
}

/// Reserves a part of the piece.
fn cut(layout: Layout) -> Option<NonNull<u8>> {
    if layout.size() > LARGEST || layout.align() > 4096 {
        return None;
    }
    let mut next = NEXT.load(Ordering::Relaxed);
    loop {
        let start = next.checked_next_multiple_of(layout.align())?;
        let end = start.checked_add(layout.size()).filter(|end| *end <= ARENA_BYTES)?;
        match NEXT.compare_exchange_weak(next, end, Ordering::Relaxed, Ordering::Relaxed) {
            // SAFETY: `start` is within the piece, so that the sum stays inside one object.
            Ok(_) => return NonNull::new(unsafe { base().add(start) }),
            Err(now) => next = now,
        }
    }
}

/// Moves the end of the part at `place` from `size` to `new_size` bytes, if nothing was cut since.
fn resize_last(place: usize, size: usize, new_size: usize) -> bool {
    let Some(end) = place.checked_add(new_size).filter(|end| *end <= ARENA_BYTES) else {
        return false;
    };
    NEXT.compare_exchange(place + size, end, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

// SAFETY: a block comes from the piece, where `cut` gave it room of its own at its alignment, or
// from the system's allocator. Which of the two is told by its address, so that each is resized
// and freed where it came from. A block of the piece is not given out a second time, except when
// it was the last one and its owner freed or shrank it, which ends his claim to those bytes.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match cut(layout) {
            Some(block) => block.as_ptr(),
            // SAFETY: the caller's promise about `layout` is passed on as it is.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match cut(layout) {
            Some(block) => {
                // SAFETY: `cut` reserved `layout.size()` bytes there, for nobody else. They are not
                // zero if somebody had them, and gave them back, before.
                unsafe { block.write_bytes(0, layout.size()) };
                block.as_ptr()
            }
            // The kernel's pages are zero already: a large buffer costs what is used of it.
            // SAFETY: the caller's promise about `layout` is passed on as it is.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match place_of(block) {
            Some(place) => {
                resize_last(place, layout.size(), 0);
            }
            // SAFETY: the block is not in the piece, so that it is the system's, with this layout.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(place) = place_of(block) else {
            // SAFETY: the block is not in the piece, so that it is the system's, with this layout;
            // the caller's promise about `new_size` is passed on.
            return unsafe { System.realloc(block, layout, new_size) };
        };
        if new_size <= layout.size()
            || (new_size <= LARGEST && resize_last(place, layout.size(), new_size))
        {
            return block;
        }
        // SAFETY: the caller promises that `new_size`, rounded up to the alignment, does not
        // overflow; the alignment is that of a valid layout.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: `new_size` is not zero, since it is larger than the old size.
        let new_block = unsafe { self.alloc(new_layout) };
        if !new_block.is_null() {
            // SAFETY: the old block has `layout.size()` bytes, the new one more; they are two
            // blocks in use, which do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(block, new_block, layout.size()) };
        }
        new_block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The piece is one for the process, so that all is in one test.
    #[test]
    fn blocks_keep_their_bytes_through_growth_and_after_retirement() {
        let layout = Layout::from_size_align(24, 8).unwrap();
        // SAFETY: each block is used with the layout that it was made with, within its size,
        // and freed once.
        unsafe {
            let first = Arena.alloc(layout);
            assert!(place_of(first).is_some());
            first.write_bytes(7, 24);
            let grown = Arena.realloc(first, layout, 4000);
            assert_eq!(*grown.add(23), 7);

            let dirty = Arena.alloc(layout);
            dirty.write_bytes(1, 24);
            Arena.dealloc(dirty, layout);
            let zeroed = Arena.alloc_zeroed(layout);
            assert_eq!((zeroed, *zeroed.add(23)), (dirty, 0));
            Arena.dealloc(zeroed, layout);
            let large = Layout::from_size_align(LARGEST + 1, 8).unwrap();
            let zeroed = Arena.alloc_zeroed(large);
            assert_eq!(*zeroed.add(LARGEST), 0);
            Arena.dealloc(zeroed, large);

            let second = Arena.alloc(layout);
            second.write_bytes(9, 24);
            let layout = Layout::from_size_align(4000, 8).unwrap();
            let moved = Arena.realloc(grown, layout, LARGEST + 1);
            assert!(place_of(moved).is_none(), "too large for the piece");
            assert_eq!((*moved, *moved.add(23), *second), (7, 7, 9));
            Arena.dealloc(moved, Layout::from_size_align(LARGEST + 1, 8).unwrap());

            let aligned = Arena.alloc(Layout::from_size_align(1, 4096).unwrap());
            assert_eq!(aligned as usize % 4096, 0);

            Arena::retire();
            let late = Arena.alloc(layout);
            assert!(place_of(late).is_none());
            Arena.dealloc(late, layout);
            let shrunk = Arena.realloc(second, Layout::from_size_align(24, 8).unwrap(), 8);
            assert_eq!(*shrunk, 9);
            Arena.dealloc(shrunk, Layout::from_size_align(8, 8).unwrap());
        }
    }
}
