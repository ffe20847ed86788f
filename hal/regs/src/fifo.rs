//! A channel's work: USERD and the entries of the GPFIFO ring, as a guest writes them to its
//! framebuffer and the device reads them.
//!
//! All integers are little-endian. GP_PUT (the guest's) and GP_GET (the device's) count
//! entries and wrap at 2^32; the entry of a count is at the count modulo the ring's length.

use godwit_types::Vector;

/// Offset of GP_PUT in USERD: u32, written by the guest.
pub const USERD_PUT: u64 = 0;
/// Offset of GP_GET in USERD: u32, written by the device.
pub const USERD_GET: u64 = 4;

/// A kernel launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Address of the first instruction of each thread.
    pub entry: u64,
    /// Thread blocks.
    pub grid: u32,
    /// Threads of each block.
    pub block: u32,
    /// Address of the argument block, passed in `a0`.
    pub args: u64,
    /// Address of the stacks: thread `i` of a block has the `i`-th.
    pub stacks: u64,
    /// Bytes of each stack, a multiple of 16.
    pub stack_bytes: u32,
    /// Bytes of shared memory.
    pub shared_bytes: u32,
    /// Address of the block's shared memory, passed in `a4`.
    pub shared: u64,
}

/// One entry of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Run a kernel (compute engine).
    Launch(Launch),
    /// Copy within the partition (copy engine); source and destination may not overlap.
    Copy {
        /// First byte to read.
        from: u64,
        /// First byte to write.
        to: u64,
        /// Number of bytes.
        byte_count: u64,
    },
    /// Write one byte value to a range (copy engine).
    Fill {
        /// First byte to write.
        at: u64,
        /// Number of bytes.
        byte_count: u64,
        /// The value.
        value: u8,
    },
    /// Wait until the u32 at `at` equals `value`.
    Acquire {
        /// Address, a multiple of 4.
        at: u64,
        /// Value to wait for.
        value: u32,
    },
    /// Write `value` to the u32 at `at`.
    Release {
        /// Address, a multiple of 4.
        at: u64,
        /// Value to write.
        value: u32,
    },
    /// Raise an interrupt to the guest.
    Notify(Vector),
}

/// Words of an entry.
pub type EntryWords = [u32; 16];

const LAUNCH: u32 = 1;
const COPY: u32 = 2;
const FILL: u32 = 3;
const ACQUIRE: u32 = 4;
const RELEASE: u32 = 5;
const NOTIFY: u32 = 6;

const fn lo(value: u64) -> u32 {
    crate::bits::halves(value).0
}

const fn hi(value: u64) -> u32 {
    crate::bits::halves(value).1
}

impl Entry {
    /// The entry as it lies in the ring.
    pub const fn encode(&self) -> EntryWords {
        match *self {
            Self::Launch(launch) => [
                LAUNCH,
                launch.grid,
                launch.block,
                launch.stack_bytes,
                lo(launch.entry),
                hi(launch.entry),
                lo(launch.args),
                hi(launch.args),
                lo(launch.stacks),
                hi(launch.stacks),
                lo(launch.shared),
                hi(launch.shared),
                launch.shared_bytes,
                0,
                0,
                0,
            ],
            Self::Copy { from, to, byte_count } => Self::plain(COPY, 0, [from, to, byte_count]),
            Self::Fill { at, byte_count, value } => {
                Self::plain(FILL, value as u32, [0, at, byte_count])
            }
            Self::Acquire { at, value } => Self::plain(ACQUIRE, value, [at, 0, 0]),
            Self::Release { at, value } => Self::plain(RELEASE, value, [at, 0, 0]),
            Self::Notify(vector) => Self::plain(NOTIFY, vector.raw() as u32, [0; 3]),
        }
    }

    const fn plain(op: u32, value: u32, wide: [u64; 3]) -> EntryWords {
        let [a, b, c] = wide;
        [op, value, 0, 0, lo(a), hi(a), lo(b), hi(b), lo(c), hi(c), 0, 0, 0, 0, 0, 0]
    }

    /// Reads an entry. `None` for an unknown operation, a word that must be zero and is not,
    /// or a field out of its range.
    pub const fn parse(words: &EntryWords) -> Option<Self> {
        use crate::bits::whole;
        let [op, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, 0, 0, 0] = *words else {
            return None;
        };
        let (a, b, c) = (whole(w4, w5), whole(w6, w7), whole(w8, w9));
        if op == LAUNCH {
            return match Launch::parse(words) {
                Some(launch) => Some(Self::Launch(launch)),
                None => None,
            };
        }
        if w2 != 0 || w3 != 0 || w10 != 0 || w11 != 0 || w12 != 0 {
            return None;
        }
        Some(match (op, w1, a, b, c) {
            (COPY, 0, from, to, byte_count) => Self::Copy { from, to, byte_count },
            (FILL, 0..=255, 0, at, byte_count) => Self::Fill { at, byte_count, value: w1 as u8 },
            (ACQUIRE, value, at, 0, 0) if at % 4 == 0 => Self::Acquire { at, value },
            (RELEASE, value, at, 0, 0) if at % 4 == 0 => Self::Release { at, value },
            (NOTIFY, 0..=255, 0, 0, 0) => match Vector::new(w1 as u8) {
                Some(vector) => Self::Notify(vector),
                None => return None,
            },
            _ => return None,
        })
    }
}

impl Launch {
    const fn parse(words: &EntryWords) -> Option<Self> {
        use crate::bits::whole;
        let [_, grid, block, stack_bytes, w4, w5, w6, w7, w8, w9, w10, w11, shared_bytes, _, _, _] =
            *words;
        if grid == 0 || block == 0 || !stack_bytes.is_multiple_of(16) {
            return None;
        }
        // The thread index and the number of threads must fit the kernel's registers.
        if (grid as u64).wrapping_mul(block as u64) > u32::MAX as u64 {
            return None;
        }
        Some(Self {
            entry: whole(w4, w5),
            grid,
            block,
            args: whole(w6, w7),
            stacks: whole(w8, w9),
            stack_bytes,
            shared_bytes,
            shared: whole(w10, w11),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_reads_back_as_written() {
        let wide = 0x12_3456_7890;
        for entry in [
            Entry::Launch(Launch {
                entry: wide,
                grid: 3,
                block: 64,
                args: wide + 1,
                stacks: wide + 2,
                stack_bytes: 4096,
                shared_bytes: 1024,
                shared: wide + 3,
            }),
            Entry::Copy { from: wide, to: 1, byte_count: wide },
            Entry::Fill { at: wide, byte_count: 9, value: 0xa5 },
            Entry::Acquire { at: wide & !3, value: u32::MAX },
            Entry::Release { at: 4, value: 0 },
            Entry::Notify(Vector::new(31).unwrap()),
        ] {
            assert_eq!(Entry::parse(&entry.encode()), Some(entry));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(Entry::parse(&[0; 16]), None);
        let mut notify = Entry::Notify(Vector::new(0).unwrap()).encode();
        notify[1] = 32;
        assert_eq!(Entry::parse(&notify), None);
        let mut copy = Entry::Copy { from: 0, to: 64, byte_count: 64 }.encode();
        copy[15] = 1;
        assert_eq!(Entry::parse(&copy), None);
    }
}
