//! What the firmware leaves in the window when it ends by itself: words, by their places.

/// The first word of a record that is there.
pub const MAGIC: u32 = u32::from_le_bytes(*b"GWCR");

/// Words of the record: [`MAGIC`], the cause, the details.
pub const WORDS: usize = 8;

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
    /// Neither slot of the flash boots: why slot a and slot b do not, as `godwit-slots` numbers
    /// it.
    NoImage {
        /// Why slot a does not.
        a: u32,
        /// Why slot b does not.
        b: u32,
    },
}

/// The words of a record, the magic first. It is written last.
pub const fn encode(cause: Cause) -> [u32; WORDS] {
    match cause {
        Cause::Exception { number, at, value } => [
            MAGIC,
            1,
            number,
            at as u32,
            at.wrapping_shr(32) as u32,
            value as u32,
            value.wrapping_shr(32) as u32,
            0,
        ],
        Cause::Panic { line } => [MAGIC, 2, line, 0, 0, 0, 0, 0],
        Cause::NoDevice => [MAGIC, 3, 0, 0, 0, 0, 0, 0],
        Cause::NoImage { a, b } => [MAGIC, 16, a, b, 0, 0, 0, 0],
    }
}

/// Reads a record; `None` when there is none.
pub const fn parse(words: [u32; WORDS]) -> Option<Cause> {
    let [magic, kind, number, at_lo, at_hi, value_lo, value_hi, _] = words;
    if magic != MAGIC {
        return None;
    }
    match kind {
        1 => Some(Cause::Exception {
            number,
            at: crate::bits::whole(at_lo, at_hi),
            value: crate::bits::whole(value_lo, value_hi),
        }),
        2 => Some(Cause::Panic { line: number }),
        3 => Some(Cause::NoDevice),
        16 => Some(Cause::NoImage { a: number, b: at_lo }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read() {
        let exception = Cause::Exception { number: 7, at: 0x8000_0000_1234, value: u64::MAX };
        let none = Cause::NoImage { a: 1, b: 2 };
        for cause in [exception, Cause::Panic { line: 70_000 }, Cause::NoDevice, none] {
            assert_eq!(parse(encode(cause)), Some(cause));
        }
        assert_eq!(parse([0; WORDS]), None);
    }
}
