//! Where a job's parts lie, and that none lies over another.

use crate::{Device, GuestError, SegmentOutside};
use godwit_types::{RING_LOG2_MIN, RingConfig};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;

/// Entries of a job's ring, as a power of two: longer jobs fill theirs again and again.
const RING_LOG2_JOB_MAX: u8 = 8;

/// A part of a job that takes room in the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// The ring with USERD.
    Ring,
    /// The argument block.
    Arguments,
    /// The shared memory of a block.
    SharedMemory,
    /// The stacks of a block's threads.
    Stacks,
    /// An input, by its place in the list.
    Input(usize),
    /// The output.
    Output,
    /// A segment of the kernel, by the number of its program header.
    Segment(usize),
    /// What an entry for the copy engine reads or writes, by its place in the list.
    Entry(usize),
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring => f.write_str("the ring"),
            Self::Arguments => f.write_str("the argument block"),
            Self::SharedMemory => f.write_str("the shared memory"),
            Self::Stacks => f.write_str("the stacks"),
            Self::Input(index) => write!(f, "input {index}"),
            Self::Output => f.write_str("the output"),
            Self::Segment(index) => write!(f, "segment {index} of the kernel"),
            Self::Entry(index) => write!(f, "entry {index}"),
        }
    }
}

/// Why a job cannot be done on this device.
#[derive(Debug, Error)]
pub enum JobError {
    /// The kernel's image does not fit the aperture.
    #[error(transparent)]
    Kernel(#[from] SegmentOutside),
    /// No such channel or group.
    #[error(transparent)]
    Channel(GuestError),
    /// The arena is not a part of the aperture.
    #[error("the arena {arena:#x?} is no range within the aperture of {aperture_bytes:#x} bytes")]
    Arena {
        /// The arena.
        arena: Range<u64>,
        /// Bytes of the aperture.
        aperture_bytes: u64,
    },
    /// The arena has no room for a part.
    #[error(
        "the arena has no room for {region}: {byte_count:#x} bytes from {at:#x} on, but it ends at \
         {arena_end:#x}"
    )]
    ArenaFull {
        /// The part.
        region: Region,
        /// Where it would begin.
        at: u64,
        /// Its length.
        byte_count: u64,
        /// Where the arena ends.
        arena_end: u64,
    },
    /// A part lies outside what can be reached.
    #[error(
        "{region}, {byte_count:#x} bytes at {at:#x}, does not lie within the first \
         {limit_bytes:#x} bytes of the partition"
    )]
    Outside {
        /// The part.
        region: Region,
        /// Where it begins.
        at: u64,
        /// Its length.
        byte_count: u64,
        /// Where what can be reached ends.
        limit_bytes: u64,
    },
    /// A range that ends before it begins.
    #[error("{region} has an end {end:#x} before its start {start:#x}")]
    Reversed {
        /// The part.
        region: Region,
        /// Its start.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// Two parts lie over each other.
    #[error("{first} ({first_range:#x?}) and {second} ({second_range:#x?}) overlap")]
    Overlap {
        /// The one.
        first: Region,
        /// Where it lies.
        first_range: Range<u64>,
        /// The other.
        second: Region,
        /// Where that lies.
        second_range: Range<u64>,
    },
    /// A grid that no launch can have.
    #[error(
        "a grid of {grid} blocks of {block} threads is impossible: both are at least 1 and make \
         fewer than 2^32 threads"
    )]
    Grid {
        /// Thread blocks.
        grid: u32,
        /// Threads of each.
        block: u32,
    },
    /// More threads in a block than the device can hold.
    #[error("blocks of {block} threads are too large: this vGPU holds {threads_max} at a time")]
    Block {
        /// Threads of each block.
        block: u32,
        /// Threads that a block may have.
        threads_max: u32,
    },
    /// A stack's length that no launch can have.
    #[error("stacks of {stack_bytes} bytes are impossible: the length is a multiple of 16")]
    StackBytes {
        /// Bytes of each stack.
        stack_bytes: u32,
    },
    /// Nothing to do.
    #[error("the job repeats nothing, or nothing is to be repeated")]
    Nothing,
    /// An entry that the copy engine does not take.
    #[error("entry {index} launches a kernel, which the copy engine cannot")]
    NotForCopy {
        /// Its place in the list.
        index: usize,
    },
    /// A copy onto itself.
    #[error("entry {index} copies {byte_count:#x} bytes from {from:#x} to {to:#x}, which overlap")]
    CopyOverlaps {
        /// Its place in the list.
        index: usize,
        /// First byte to read.
        from: u64,
        /// First byte to write.
        to: u64,
        /// Number of bytes.
        byte_count: u64,
    },
    /// A semaphore at an odd place.
    #[error("entry {index} has a semaphore at {at:#x}, which is no multiple of 4")]
    Semaphore {
        /// Its place in the list.
        index: usize,
        /// Its address.
        at: u64,
    },
}

/// A part and where it lies.
pub(crate) type Placed = (Region, Range<u64>);

/// The range of `byte_count` bytes at `at`, when it lies below `limit_bytes`.
pub(crate) fn within(
    region: Region,
    at: u64,
    byte_count: u64,
    limit_bytes: u64,
) -> Result<Placed, JobError> {
    match at.checked_add(byte_count) {
        Some(end) if end <= limit_bytes => Ok((region, at..end)),
        _ => Err(JobError::Outside { region, at, byte_count, limit_bytes }),
    }
}

/// Checks that none of `some` lies over one of `others`. A part of no bytes lies over nothing.
pub(crate) fn check_apart(some: &[Placed], others: &[Placed]) -> Result<(), JobError> {
    let overlap = |a: &Range<u64>, b: &Range<u64>| a.start.max(b.start) < a.end.min(b.end);
    let pairs = || some.iter().flat_map(|a| others.iter().map(move |b| (a, b)));
    match pairs().find(|((_, a), (_, b))| overlap(a, b)) {
        None => Ok(()),
        Some(((first, first_range), (second, second_range))) => Err(JobError::Overlap {
            first: *first,
            first_range: first_range.clone(),
            second: *second,
            second_range: second_range.clone(),
        }),
    }
}

/// Where inputs and output lie; they must be in the aperture, since the guest's CPU reaches them.
/// Which of them may lie over what is the caller's to check.
pub(crate) fn place_data(
    device: &Device,
    inputs: &[(u64, Arc<[u8]>)],
    output: Option<&Range<u64>>,
) -> Result<(Vec<Placed>, Vec<Placed>), JobError> {
    let limit_bytes = device.aperture_bytes();
    let mut places = Vec::with_capacity(inputs.len());
    for (index, (at, bytes)) in inputs.iter().enumerate() {
        places.push(within(Region::Input(index), *at, bytes.len() as u64, limit_bytes)?);
    }
    let mut outputs = Vec::with_capacity(1);
    if let Some(&Range { start, end }) = output {
        let region = Region::Output;
        let Some(byte_count) = end.checked_sub(start) else {
            return Err(JobError::Reversed { region, start, end });
        };
        outputs.push(within(region, start, byte_count, limit_bytes)?);
    }
    Ok((places, outputs))
}

/// Hands out places in the arena, upwards.
pub(crate) struct Arena {
    next: u64,
    end: u64,
    placed: Vec<Placed>,
}

impl Arena {
    pub(crate) fn new(device: &Device, arena: Range<u64>) -> Result<Self, JobError> {
        let aperture_bytes = device.aperture_bytes();
        if arena.start > arena.end || arena.end > aperture_bytes {
            return Err(JobError::Arena { arena, aperture_bytes });
        }
        Ok(Self { next: arena.start, end: arena.end, placed: Vec::new() })
    }

    /// Where a part of that length lies, at a multiple of `align`.
    pub(crate) fn place(
        &mut self,
        region: Region,
        byte_count: u64,
        align: u64,
    ) -> Result<u64, JobError> {
        // The arena ends below 2^40, so none of this overflows.
        let at = self.next.next_multiple_of(align);
        if byte_count > self.end.saturating_sub(at) {
            return Err(JobError::ArenaFull { region, at, byte_count, arena_end: self.end });
        }
        self.next = at + byte_count;
        self.placed.push((region, at..self.next));
        Ok(at)
    }

    /// A ring for that many entries, or for as many as a job's ring may have: where it begins,
    /// and its number of entries as a power of two.
    pub(crate) fn place_ring(&mut self, entry_count: u64) -> Result<(u64, u8), JobError> {
        let enough = |log2: &u8| 1 << log2 >= entry_count;
        let log2 = (RING_LOG2_MIN..RING_LOG2_JOB_MAX).find(enough).unwrap_or(RING_LOG2_JOB_MAX);
        let byte_count = RingConfig::USERD_BYTES + (RingConfig::ENTRY_BYTES << log2);
        let at = self.place(Region::Ring, byte_count, RingConfig::ALIGN)?;
        Ok((at, log2))
    }

    /// What was handed out.
    pub(crate) fn placed(&self) -> &[Placed] {
        &self.placed
    }
}
