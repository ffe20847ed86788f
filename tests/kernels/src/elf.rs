//! The compiled kernels.

/// Bytes with the alignment that ELF structures need, so that a reader may
/// look at them in place.
#[repr(C, align(16))]
struct Aligned<B: ?Sized>(B);

macro_rules! include_elf {
    ($name:literal) => {{
        const ELF: &Aligned<[u8]> =
            &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".elf")));
        &ELF.0
    }};
}

/// Iterated SHA-256, one chain a thread: no memory traffic, no waiting.
pub const SHA256_CHAIN: &[u8] = include_elf!("sha256_chain");

/// Tiled matrix product: shared memory and barriers.
pub const MATMUL: &[u8] = include_elf!("matmul");

/// Histogram of bytes: atomic additions and compare-exchange loops.
pub const HISTOGRAM: &[u8] = include_elf!("histogram");

/// A word in each page of a range, over and over: dirties pages as fast as can be.
pub const PAGE_WRITER: &[u8] = include_elf!("page_writer");

/// An endless loop without a barrier or a call.
pub const SPINNER: &[u8] = include_elf!("spinner");

/// Every kernel, by name.
pub const KERNELS: [(&str, &[u8]); 5] = [
    ("sha256_chain", SHA256_CHAIN),
    ("matmul", MATMUL),
    ("histogram", HISTOGRAM),
    ("page_writer", PAGE_WRITER),
    ("spinner", SPINNER),
];

/// The kernel of that name.
pub fn by_name(name: &str) -> Option<&'static [u8]> {
    KERNELS.iter().find(|(known, _)| *known == name).map(|(_, elf)| *elf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_found_by_its_name_alone() {
        assert_eq!(by_name("matmul"), Some(MATMUL));
        assert_eq!(by_name("matmul.elf"), None);
    }

    #[test]
    fn elf_structures_are_aligned_in_memory() {
        for (name, elf) in KERNELS {
            assert_eq!(elf.as_ptr().addr() % 16, 0, "{name}");
        }
    }
}
