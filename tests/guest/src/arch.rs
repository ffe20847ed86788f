//! The architecture that a kernel was compiled for, as its attributes name it.

use crate::ElfError;

/// What the compute engine runs: RV64IMAC, and the parts of M, A and C under names of their own.
const ALLOWED: [&str; 8] = ["i", "m", "a", "c", "zmmul", "zaamo", "zalrsc", "zca"];

/// Characters of a file's own text that an error repeats.
const QUOTED_MAX: usize = 64;

/// Checks an architecture string, as "rv64i2p1_m2p0_a2p1_c2p0_zca1p0" or "rv64imac".
pub(crate) fn check(arch: &str) -> Result<(), ElfError> {
    let arch = arch.to_ascii_lowercase();
    let rest = match arch.strip_prefix("rv64") {
        Some(rest) if rest.starts_with('i') => rest,
        _ => return Err(ElfError::Base { arch: quoted(&arch) }),
    };
    match extensions(rest).find(|name| !ALLOWED.contains(name)) {
        None => Ok(()),
        Some(name) => Err(ElfError::Extension { name: quoted(name), arch: quoted(&arch) }),
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_MAX).collect()
}

/// The names of the extensions, without versions.
fn extensions(rest: &str) -> impl Iterator<Item = &str> {
    rest.split('_').flat_map(|part| {
        let mut part = part;
        std::iter::from_fn(move || {
            let first = part.chars().next()?;
            // Names that begin with these are of several letters and end their part.
            if matches!(first, 'z' | 's' | 'x') {
                let name = without_version(part);
                part = "";
                return Some(name);
            }
            let (name, after) = part.split_at(first.len_utf8());
            part = after_version(after);
            Some(name)
        })
    })
}

/// `text` from behind the version that it begins with: "2p1", "2" or nothing.
fn after_version(text: &str) -> &str {
    let is_digit = |c: char| c.is_ascii_digit();
    let after_major = text.trim_start_matches(is_digit);
    if after_major.len() == text.len() {
        return text;
    }
    match after_major.strip_prefix('p') {
        Some(minor) if minor.starts_with(is_digit) => minor.trim_start_matches(is_digit),
        _ => after_major, // the P extension, not a point
    }
}

/// `name` without the version that it ends with.
fn without_version(name: &str) -> &str {
    let is_digit = |c: char| c.is_ascii_digit();
    let major = name.trim_end_matches(is_digit);
    match major.strip_suffix('p') {
        Some(point) if major.len() < name.len() && point.ends_with(is_digit) => {
            point.trim_end_matches(is_digit)
        }
        _ => major,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_rv64imac_are_allowed() {
        for arch in [
            "rv64i2p1_m2p0_a2p1_c2p0_zmmul1p0_zaamo1p0_zalrsc1p0_zca1p0",
            "rv64imac",
            "rv64i",
            "RV64I2P0M2P0A2P0C2P0",
            "rv64i2_m2",
            "rv64imaczca",
        ] {
            assert!(check(arch).is_ok(), "{arch}");
        }
    }

    #[test]
    fn an_extension_that_the_engine_lacks_is_named() {
        for (arch, expected) in [
            ("rv64imafdc", "f"),
            ("rv64i2p1_m2p0_a2p1_f2p2_d2p2", "f"),
            ("rv64i2p1_m2p0_zicsr2p0", "zicsr"),
            ("rv64imac_zba1_zbb1", "zba"),
            ("rv64imac_zvl128b1p0", "zvl128b"),
            ("rv64imaczifencei", "zifencei"),
            ("rv64imac_xtheadba1p0", "xtheadba"),
            ("rv64i2p", "p"),
            ("rv64i2p1v1p0", "v"),
            ("rv64i_é", "é"),
            ("rv64i 2", " "),
        ] {
            match check(arch) {
                Err(ElfError::Extension { name, .. }) => assert_eq!(name, expected, "{arch}"),
                other => panic!("{arch}: {other:?}"),
            }
        }
    }

    #[test]
    fn another_base_is_refused() {
        for arch in ["", "rv32imac", "rv64e", "rv64g", "rv64", "x86"] {
            assert!(matches!(check(arch), Err(ElfError::Base { .. })), "{arch}");
        }
    }
}
