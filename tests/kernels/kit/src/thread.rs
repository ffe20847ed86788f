//! Who a thread is, and what it can reach.

use crate::{Cell, arch, cell::cells};

/// One thread of a running kernel: its place in the grid and its memory.
///
/// Start-up puts it on the thread's stack, in this order.
#[repr(C)]
#[derive(Debug)]
pub struct Thread {
    args: usize,
    index: usize,
    count: usize,
    block_size: usize,
    shared: usize,
}

// start.S stores five doublewords.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(core::mem::offset_of!(Thread, shared) == 32);

impl Thread {
    /// Index of this thread in the grid.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Number of threads in the grid.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Number of threads in a block.
    pub fn block_size(&self) -> usize {
        self.block_size
    }

    /// Number of blocks in the grid.
    pub fn block_count(&self) -> usize {
        self.count / self.block_size
    }

    /// Index of this thread's block in the grid. Blocks run in any order.
    pub fn block(&self) -> usize {
        self.index / self.block_size
    }

    /// Index of this thread in its block.
    pub fn index_in_block(&self) -> usize {
        self.index % self.block_size
    }

    /// Waits until every thread of the block is here or has ended. What any of
    /// them wrote before can be read by all of them behind it.
    pub fn barrier(&self) {
        arch::barrier();
    }

    /// Framebuffer memory, from an address in the partition on.
    ///
    /// # Panics
    ///
    /// When `address` is 0 or not aligned for `C`, or the range wraps.
    ///
    /// # Safety
    ///
    /// The `len` cells lie in the partition, and in none of the kernel's image,
    /// the stacks of its threads and the argument block.
    pub unsafe fn framebuffer<C: Cell>(&self, address: u64, len: usize) -> &[C] {
        // SAFETY: the caller's promise; a kernel's memory stays for as long as its threads.
        unsafe { cells(address as usize, len) }
    }

    /// The block's shared memory, from `offset` bytes on. Its contents are
    /// undefined when a block starts.
    ///
    /// # Panics
    ///
    /// When the address is not aligned for `C`, or the range wraps.
    ///
    /// # Safety
    ///
    /// The `len` cells lie within the shared memory that the launch provides.
    pub unsafe fn shared<C: Cell>(&self, offset: usize, len: usize) -> &[C] {
        let address = self.shared.checked_add(offset);
        assert!(address.is_some());
        // SAFETY: the caller's promise; a block keeps its memory for as long as its threads.
        unsafe { cells(address.unwrap_or(0), len) }
    }

    pub(crate) fn args(&self) -> usize {
        self.args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_its_block() {
        let thread = Thread { args: 0, index: 11, count: 16, block_size: 4, shared: 0 };
        assert_eq!((thread.block(), thread.index_in_block()), (2, 3));
        assert_eq!((thread.block_count(), thread.count()), (4, 16));
    }
}
