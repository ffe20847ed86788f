//! Values as a scenario writes them: sizes, times, whole numbers, fractions, digests.

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Units of sizes, with the bytes of each.
const SIZE_UNITS: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Units of times, with the nanoseconds of each.
const TIME_UNITS: [(&str, u64); 4] =
    [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];

/// A number of bytes: an integer, or a string with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// A time in nanoseconds: an integer, or a string with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nanos(pub(super) u64);

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count(pub(super) u64);

/// A fraction such as "1/10".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fraction {
    pub(super) numerator: u64,
    pub(super) denominator: u64,
}

/// A part of a whole, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Percent(pub(super) u16);

/// A SHA-256 digest in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest(pub(super) [u8; 32]);

/// A user of this machine: a name, or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum User {
    Name(String),
    Number(u32),
}

/// How a value is read from an integer or a string, whichever it can be written as.
trait Written: Sized {
    /// What may be written, as the end of "allowed: …".
    const ALLOWED: &'static str;

    fn from_integer(_: u64) -> Option<Self> {
        None
    }

    fn from_text(_: &str) -> Option<Self> {
        None
    }
}

impl Written for Bytes {
    const ALLOWED: &'static str = "a size such as \"64 MiB\" (B, KiB, MiB, GiB, TiB), or bytes";

    fn from_integer(value: u64) -> Option<Self> {
        Some(Self(value))
    }

    fn from_text(text: &str) -> Option<Self> {
        quantity(text, &SIZE_UNITS).map(Self)
    }
}

impl Written for Nanos {
    const ALLOWED: &'static str = "a time such as \"3 ms\" (ns, us, ms, s), or nanoseconds";

    fn from_integer(value: u64) -> Option<Self> {
        Some(Self(value))
    }

    fn from_text(text: &str) -> Option<Self> {
        quantity(text, &TIME_UNITS).map(Self)
    }
}

impl Written for Count {
    const ALLOWED: &'static str = "a whole number from 0 to 18446744073709551615";

    fn from_integer(value: u64) -> Option<Self> {
        Some(Self(value))
    }
}

impl Written for Fraction {
    const ALLOWED: &'static str = "a fraction such as \"1/10\"";

    fn from_text(text: &str) -> Option<Self> {
        let (numerator, denominator) = text.split_once('/')?;
        Some(Self {
            numerator: digits(numerator.trim())?,
            denominator: digits(denominator.trim())?,
        })
    }
}

impl Written for Percent {
    const ALLOWED: &'static str = "a part such as \"25 %\" or \"12.5 %\"";

    fn from_text(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?.trim_end();
        let (whole, rest) = number.split_once('.').unwrap_or((number, "0"));
        let tenths = match rest.len() {
            1 => digits(rest)?.checked_mul(10)?,
            2 => digits(rest)?,
            _ => return None,
        };
        let hundredths = digits(whole)?.checked_mul(100)?.checked_add(tenths)?;
        u16::try_from(hundredths).ok().map(Self)
    }
}

impl Written for Digest {
    const ALLOWED: &'static str = "64 hexadecimal digits";

    fn from_text(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
            *byte = digit(*high)? * 16 + digit(*low)?;
        }
        Some(Self(bytes))
    }
}

impl Written for User {
    const ALLOWED: &'static str = "a user's name, or a number from 0 to 4294967295";

    fn from_integer(value: u64) -> Option<Self> {
        u32::try_from(value).ok().map(Self::Number)
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(Self::Name(text.to_owned()))
    }
}

/// A time as a command line has it: nanoseconds, or a number with a unit.
pub(crate) fn parse_time(text: &str) -> Result<u64, String> {
    let found = digits(text).or_else(|| quantity(text, &TIME_UNITS));
    found.ok_or_else(|| format!("allowed: {}", Nanos::ALLOWED))
}

/// A part of a whole as a command line has it, in hundredths of a percent.
pub(crate) fn parse_percent(text: &str) -> Result<u16, String> {
    let found = Percent::from_text(text).map(|percent| percent.0);
    found.ok_or_else(|| format!("allowed: {}", Percent::ALLOWED))
}

/// A size as a command line has it: bytes, or a number with a unit.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let found = digits(text).or_else(|| quantity(text, &SIZE_UNITS));
    found.ok_or_else(|| format!("allowed: {}", Bytes::ALLOWED))
}

/// A number with a unit after it, in the smallest unit.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let (_, scale) = units.iter().find(|(known, _)| *known == unit.trim_start())?;
    digits(number)?.checked_mul(*scale)
}

/// Decimal digits and nothing else.
fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

struct WrittenVisitor<T>(PhantomData<T>);

impl<T: Written> Visitor<'_> for WrittenVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::ALLOWED)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        T::from_integer(value).ok_or_else(|| E::invalid_type(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<T, E> {
        let shown = format!("integer `{value}`");
        Err(E::invalid_value(Unexpected::Other(&shown), &self))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<T, E> {
        let shown = format!("integer `{value}`");
        Err(E::invalid_value(Unexpected::Other(&shown), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

macro_rules! deserialize_written {
    ($($name:ident),+) => {
        $(impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(WrittenVisitor(PhantomData))
            }
        })+
    };
}

deserialize_written!(Bytes, Nanos, Count, Fraction, Percent, Digest, User);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_no_fractions() {
        assert_eq!(Bytes::from_text("64 MiB"), Some(Bytes(64 << 20)));
        assert_eq!(Bytes::from_text("64KiB"), Some(Bytes(64 << 10)));
        assert_eq!(Bytes::from_text("0 B"), Some(Bytes(0)));
        for wrong in
            ["", "64", "MiB", "64 MB", "1.5 MiB", "-1 B", "64 MiB ", "18014398509481984 KiB"]
        {
            assert_eq!(Bytes::from_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_in_nanoseconds() {
        assert_eq!(Nanos::from_text("3 ms"), Some(Nanos(3_000_000)));
        assert_eq!(Nanos::from_text("7us"), Some(Nanos(7_000)));
        assert_eq!(Nanos::from_text("3 min"), None);
        assert_eq!(Nanos::from_text("99999999999999999999 ns"), None);
    }

    #[test]
    fn a_fraction_has_two_parts() {
        let tenth = Fraction { numerator: 1, denominator: 10 };
        assert_eq!(Fraction::from_text("1/10"), Some(tenth));
        assert_eq!(Fraction::from_text(" 1 / 10 "), Some(tenth));
        assert_eq!(Fraction::from_text("1/-10"), None);
        assert_eq!(Fraction::from_text("1/2/3"), None);
    }

    #[test]
    fn a_digest_has_64_digits_of_either_case() {
        let digest = Digest::from_text(&"aB".repeat(32));
        assert_eq!(digest, Some(Digest([0xab; 32])));
        assert_eq!(Digest::from_text(&"a".repeat(63)), None);
        assert_eq!(Digest::from_text(&"é".repeat(32)), None);
    }
}
