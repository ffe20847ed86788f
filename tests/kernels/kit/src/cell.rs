//! The words that memory consists of.

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::AtomicU8 {}
    impl Sealed for super::AtomicU16 {}
    impl Sealed for super::AtomicU32 {}
    impl Sealed for super::AtomicU64 {}
}

/// A word that any number of threads may read and write at once, and which is
/// valid whatever bits it holds.
///
/// `load` and `store` with `Relaxed` are plain instructions for each size.
/// Read-modify-write operations are single instructions or LR/SC pairs for
/// 4 and 8 bytes; for 1 and 2 bytes they are loops around a word.
pub trait Cell: sealed::Sealed {}

impl Cell for AtomicU8 {}
impl Cell for AtomicU16 {}
impl Cell for AtomicU32 {}
impl Cell for AtomicU64 {}

/// The cells from `address` on.
///
/// # Panics
///
/// When the slice could not be one: its address is 0 or not aligned, or it
/// runs over the end of the address space.
///
/// # Safety
///
/// As for [`crate::Thread::framebuffer`], for all of `'a`.
pub(crate) unsafe fn cells<'a, C: Cell>(address: usize, len: usize) -> &'a [C] {
    let start = core::ptr::with_exposed_provenance::<C>(address);
    assert!(!start.is_null() && start.is_aligned());
    let bytes = len.checked_mul(size_of::<C>()).filter(|&bytes| bytes <= isize::MAX as usize);
    assert!(bytes.is_some_and(|bytes| address.checked_add(bytes).is_some()));
    // SAFETY: not null, aligned and in range as checked; the caller promises that the memory is
    // there and holds no Rust value. Any bits are valid cells, which others may change.
    unsafe { core::slice::from_raw_parts(start, len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::Ordering::Relaxed;

    #[test]
    fn cells_are_the_memory_itself() {
        let memory = [const { AtomicU64::new(0) }; 4];
        let address = memory.as_ptr().expose_provenance();
        // SAFETY: the array lives on, and is only used as cells.
        let halves: &[AtomicU32] = unsafe { cells(address + 8, 4) };
        halves[1].store(7, Relaxed);
        assert_eq!(memory[1].load(Relaxed), 7 << 32);
        assert_eq!(halves.len(), 4);
    }

    #[test]
    #[should_panic]
    fn a_misaligned_address_is_refused() {
        let memory = [const { AtomicU64::new(0) }; 4];
        let address = memory.as_ptr().expose_provenance();
        // SAFETY: the array lives on, and is only used as cells.
        let _: &[AtomicU64] = unsafe { cells(address + 4, 1) };
    }

    #[test]
    #[should_panic]
    fn a_length_that_wraps_is_refused() {
        // SAFETY: refused before any cell exists.
        let _: &[AtomicU64] = unsafe { cells(8, usize::MAX) };
    }
}
