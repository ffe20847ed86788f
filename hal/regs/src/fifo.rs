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

/// Which memory an address is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Target {
    /// The vGPU's partition; addresses count from its first byte.
    Framebuffer = 0,
    /// Guest memory, at the addresses that the bus has for it (IOVA). A peer's aperture has such
    /// addresses, too.
    Bus = 1,
}

/// An address, and the memory that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The memory.
    pub target: Target,
    /// The address there.
    pub at: u64,
}

impl Address {
    /// An address in the partition.
    pub const fn fb(at: u64) -> Self {
        Self { target: Target::Framebuffer, at }
    }

    /// An address of the bus.
    pub const fn bus(at: u64) -> Self {
        Self { target: Target::Bus, at }
    }

    /// Whether it is one of the bus.
    pub const fn is_bus(self) -> bool {
        matches!(self.target, Target::Bus)
    }

    const fn parse(target: u32, at: u64) -> Option<Self> {
        match target {
            0 => Some(Self::fb(at)),
            1 => Some(Self::bus(at)),
            _ => None,
        }
    }
}

/// One entry of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Run a kernel (compute engine).
    Launch(Launch),
    /// Copy (copy engine); source and destination may not overlap.
    Copy {
        /// First byte to read.
        from: Address,
        /// First byte to write.
        to: Address,
        /// Number of bytes.
        byte_count: u64,
    },
    /// Write one byte value to a range of the partition (copy engine).
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
        at: Address,
        /// Value to wait for.
        value: u32,
    },
    /// Write `value` to the u32 at `at`.
    Release {
        /// Address, a multiple of 4.
        at: Address,
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
            Self::Copy { from, to, byte_count } => Self::plain(COPY, 0, [from, to], byte_count),
            Self::Fill { at, byte_count, value } => {
                Self::plain(FILL, value as u32, [Address::fb(0), Address::fb(at)], byte_count)
            }
            Self::Acquire { at, value } => Self::plain(ACQUIRE, value, [at, Address::fb(0)], 0),
            Self::Release { at, value } => Self::plain(RELEASE, value, [at, Address::fb(0)], 0),
            Self::Notify(vector) => {
                Self::plain(NOTIFY, vector.raw() as u32, [Address::fb(0), Address::fb(0)], 0)
            }
        }
    }

    const fn plain(op: u32, value: u32, places: [Address; 2], byte_count: u64) -> EntryWords {
        let [a, b] = places;
        let (a_lo, a_hi, b_lo, b_hi) = (lo(a.at), hi(a.at), lo(b.at), hi(b.at));
        let (low, high) = (lo(byte_count), hi(byte_count));
        let (a, b) = (a.target as u32, b.target as u32);
        [op, value, a, b, a_lo, a_hi, b_lo, b_hi, low, high, 0, 0, 0, 0, 0, 0]
    }

    /// Reads an entry. `None` for an unknown operation, a word that must be zero and is not,
    /// or a field out of its range.
    pub const fn parse(words: &EntryWords) -> Option<Self> {
        use crate::bits::whole;
        let [op, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, 0, 0, 0] = *words else {
            return None;
        };
        if op == LAUNCH {
            return match Launch::parse(words) {
                Some(launch) => Some(Self::Launch(launch)),
                None => None,
            };
        }
        if w10 != 0 || w11 != 0 || w12 != 0 {
            return None;
        }
        let (a, b) = (Address::parse(w2, whole(w4, w5)), Address::parse(w3, whole(w6, w7)));
        let (Some(a), Some(b)) = (a, b) else { return None };
        let byte_count = whole(w8, w9);
        if op == COPY && w1 == 0 {
            return Some(Self::Copy { from: a, to: b, byte_count });
        }
        if b.is_bus() || (op != ACQUIRE && op != RELEASE && a.is_bus()) {
            return None;
        }
        Some(match (op, w1, a.at, b.at, byte_count) {
            (FILL, 0..=255, 0, at, byte_count) => Self::Fill { at, byte_count, value: w1 as u8 },
            (ACQUIRE, value, at, 0, 0) if at % 4 == 0 => Self::Acquire { at: a, value },
            (RELEASE, value, at, 0, 0) if at % 4 == 0 => Self::Release { at: a, value },
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
            Entry::Copy { from: Address::fb(wide), to: Address::fb(1), byte_count: wide },
            Entry::Copy { from: Address::bus(wide), to: Address::fb(1), byte_count: 1 },
            Entry::Copy { from: Address::fb(1), to: Address::bus(u64::MAX), byte_count: 1 },
            Entry::Copy { from: Address::bus(0), to: Address::bus(wide), byte_count: wide },
            Entry::Fill { at: wide, byte_count: 9, value: 0xa5 },
            Entry::Acquire { at: Address::fb(wide & !3), value: u32::MAX },
            Entry::Acquire { at: Address::bus(wide & !3), value: 0 },
            Entry::Release { at: Address::fb(4), value: 0 },
            Entry::Release { at: Address::bus(4), value: 9 },
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
        let (from, to) = (Address::fb(0), Address::fb(64));
        for (word, value) in [(15, 1), (2, 2), (3, u32::MAX)] {
            let mut copy = Entry::Copy { from, to, byte_count: 64 }.encode();
            copy[word] = value;
            assert_eq!(Entry::parse(&copy), None);
        }
    }

    #[test]
    fn only_copies_and_semaphores_leave_the_framebuffer() {
        let value = Vector::new(1).unwrap();
        for entry in [Entry::Fill { at: 0, byte_count: 9, value: 1 }, Entry::Notify(value)] {
            for word in [2, 3] {
                let mut words = entry.encode();
                words[word] = Target::Bus as u32;
                assert_eq!(Entry::parse(&words), None);
            }
        }
        let mut release = Entry::Release { at: Address::bus(4), value: 1 }.encode();
        release[3] = 1;
        assert_eq!(Entry::parse(&release), None);
    }
}
