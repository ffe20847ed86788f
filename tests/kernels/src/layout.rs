//! Where a job's bytes lie in the partition.

/// Partition offset at which kernels are linked.
pub const IMAGE_BASE: u64 = 1 << 20;

/// Partition offset from which the launcher puts what it provides itself. No
/// image reaches so far, no data begins before [`DATA_BASE`].
pub const LAUNCH_BASE: u64 = 2 << 20;

/// Partition offset at which a job's data begins.
pub const DATA_BASE: u64 = 4 << 20;

/// Arrays begin on a page of their own, so that each dirties its own pages.
const PAGE: u64 = 4096;

/// Hands out places for arrays, upwards from [`DATA_BASE`].
pub(crate) struct Layout {
    next: u64,
}

impl Layout {
    pub(crate) fn new() -> Self {
        Self { next: DATA_BASE }
    }

    /// The offset of a new array of `bytes` bytes.
    pub(crate) fn place(&mut self, bytes: usize) -> u64 {
        let start = self.next;
        self.next = (start + bytes as u64).next_multiple_of(PAGE);
        start
    }
}
