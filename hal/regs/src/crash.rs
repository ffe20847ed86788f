//! What the firmware leaves in the window when it ends by itself: words, by their places.
//!
//! The record is retained memory, outside of all that an image loads, so it is still there when
//! the next firmware runs; its number tells a new one from one that was seen.

use crate::bits::{halves, whole};

/// The first word of a record that is there.
pub const MAGIC: u32 = u32::from_le_bytes(*b"GWCR");

/// Registers of the core in a record; those that a core does not have are 0 at the end.
pub const REGISTERS: usize = 18;
/// The first word of the registers.
const REGISTERS_AT: usize = 9;
/// Words of the record.
pub const WORDS: usize = REGISTERS_AT + 2 * REGISTERS;
/// The word that is written last: which record this is.
pub const NUMBER_AT: usize = 1;

/// What kind of core left a record, which says what its registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// RISC-V, 32 or 64 bits.
    RiscV,
    /// Arm Cortex-M.
    CortexM,
}

impl Core {
    /// The registers' names, in their order.
    pub const fn register_names(self) -> &'static [&'static str] {
        match self {
            Self::RiscV => &[
                "sp", "ra", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a0", "a1", "a2", "a3", "a4",
                "a5", "a6", "a7", "mstatus",
            ],
            Self::CortexM => {
                &["sp", "r0", "r1", "r2", "r3", "r12", "lr", "pc", "xpsr", "cfsr", "mmfar", "bfar"]
            }
        }
    }
}

/// What the firmware shares with others, in a version each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// The register map, with the device.
    Map = 1,
    /// The mailbox's protocol, with the host.
    Mailbox = 2,
    /// The retained record, with the firmware before it.
    Retained = 3,
}

impl Shared {
    const fn numbered(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Map),
            2 => Some(Self::Mailbox),
            3 => Some(Self::Retained),
            _ => None,
        }
    }
}

/// Why the firmware ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The core met an exception: its number, its address, its value.
    Exception {
        /// The core's number for it.
        number: u32,
        /// Where the program was.
        at: u64,
        /// What the core says of it: an address or an instruction.
        value: u64,
    },
    /// A panic: the line in its source file.
    Panic {
        /// The line.
        line: u32,
    },
    /// The device did not come up.
    NoDevice,
    /// The stack has met its guard.
    StackOverflow {
        /// Where the program was.
        at: u64,
        /// The address in the guard that it reached for.
        value: u64,
    },
    /// The firmware's loop did not turn for so long that the watchdog has ended it.
    Stalled {
        /// Where the program was.
        at: u64,
    },
    /// It met what is of another version than it knows, and has not begun.
    Version {
        /// What.
        of: Shared,
        /// The version that it met.
        found: u32,
        /// The one that it knows.
        known: u32,
    },
    /// Neither slot of the flash boots: why slot a and slot b do not, as `godwit-slots` numbers
    /// it.
    NoImage {
        /// Why slot a does not.
        a: u32,
        /// Why slot b does not.
        b: u32,
    },
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts the records in this memory, from 1.
    pub number: u32,
    /// Why the firmware ended.
    pub cause: Cause,
    /// Whose registers these are.
    pub core: Core,
    /// The core's registers, as far as start-up code saves them.
    pub registers: [u64; REGISTERS],
}

/// The words of a record, in their order. Nothing is held whole: what is left of the stack of
/// firmware that ends may be little.
pub fn words(
    number: u32,
    cause: Cause,
    core: Core,
    registers: &[u64; REGISTERS],
) -> impl Iterator<Item = u32> {
    let (kind, detail, at, value) = match cause {
        Cause::Exception { number, at, value } => (1, number, at, value),
        Cause::Panic { line } => (2, line, 0, 0),
        Cause::NoDevice => (3, 0, 0, 0),
        Cause::StackOverflow { at, value } => (4, 0, at, value),
        Cause::Stalled { at } => (5, 0, at, 0),
        Cause::Version { of, found, known } => (6, of as u32, u64::from(found), u64::from(known)),
        Cause::NoImage { a, b } => (16, a, u64::from(b), 0),
    };
    let core = match core {
        Core::RiscV => 1,
        Core::CortexM => 2,
    };
    let ((at_lo, at_hi), (value_lo, value_hi)) = (halves(at), halves(value));
    let head = [MAGIC, number, kind, detail, at_lo, at_hi, value_lo, value_hi, core];
    let registers = registers.iter().flat_map(|one| <[u32; 2]>::from(halves(*one)));
    head.into_iter().chain(registers)
}

impl Record {
    /// Reads a record; `None` when there is none.
    pub fn parse(words: &[u32; WORDS]) -> Option<Self> {
        let (&[magic, number, kind, detail, at_lo, at_hi, value_lo, value_hi, core], registers) =
            words.split_first_chunk()?;
        if magic != MAGIC || number == 0 {
            return None;
        }
        let (at, value) = (whole(at_lo, at_hi), whole(value_lo, value_hi));
        let cause = match kind {
            1 => Cause::Exception { number: detail, at, value },
            2 => Cause::Panic { line: detail },
            3 => Cause::NoDevice,
            4 => Cause::StackOverflow { at, value },
            5 => Cause::Stalled { at },
            6 => {
                let (found, known) = (at as u32, value as u32);
                Cause::Version { of: Shared::numbered(detail)?, found, known }
            }
            16 => Cause::NoImage { a: detail, b: at as u32 },
            _ => return None,
        };
        let core = match core {
            1 => Core::RiscV,
            2 => Core::CortexM,
            _ => return None,
        };
        let mut record = Self { number, cause, core, registers: [0; REGISTERS] };
        let (pairs, _) = registers.as_chunks();
        for (to, &[lo, hi]) in record.registers.iter_mut().zip(pairs) {
            *to = whole(lo, hi);
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(record: &Record) -> [u32; WORDS] {
        let Record { number, cause, core, registers } = record;
        let words: std::vec::Vec<u32> = words(*number, *cause, *core, registers).collect();
        words.try_into().expect("as many as there are places")
    }

    #[test]
    fn what_is_left_is_read() {
        let exception = Cause::Exception { number: 7, at: 0x8000_0000_1234, value: u64::MAX };
        let overflow = Cause::StackOverflow { at: 0x8000_0040, value: 0x800f_d000 };
        let stalled = Cause::Stalled { at: 0x100 };
        let none = Cause::NoImage { a: 1, b: 2 };
        let registers = core::array::from_fn(|at| 0x1_0000_0001 * at as u64);
        let other = |of| Cause::Version { of, found: 3, known: u32::MAX };
        let others = [Shared::Map, Shared::Mailbox, Shared::Retained].map(other);
        let causes =
            [exception, Cause::Panic { line: 70_000 }, Cause::NoDevice, overflow, stalled, none];
        for cause in causes.into_iter().chain(others) {
            for core in [Core::RiscV, Core::CortexM] {
                let record = Record { number: 3, cause, core, registers };
                assert_eq!(Record::parse(&encode(&record)), Some(record));
                assert!(core.register_names().len() <= REGISTERS);
            }
        }
        assert_eq!(Record::parse(&[0; WORDS]), None);
    }

    #[test]
    fn a_record_that_says_nothing_known_is_none() {
        let record = Record {
            number: 1,
            cause: Cause::NoDevice,
            core: Core::RiscV,
            registers: [0; REGISTERS],
        };
        for at in [0, NUMBER_AT, 2, 8] {
            let mut words = encode(&record);
            words[at] = if at == NUMBER_AT { 0 } else { 99 };
            assert_eq!(Record::parse(&words), None, "word {at}");
        }
    }
}
