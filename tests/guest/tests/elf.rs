//! What is a kernel and what is not, on real files with single fields changed.

use godwit_guest::{ElfError, Kernel};
use godwit_kernels::{IMAGE_BASE, KERNELS, SHA256_CHAIN};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

// Fields of the file header and of the first program header, with their length in bytes.
const CLASS: usize = 4;
const ENCODING: usize = 5;
const IDENT_VERSION: usize = 6;
const TYPE: usize = 16;
const MACHINE: usize = 18;
const ENTRY: usize = 24;
const PHOFF: usize = 32;
const SHOFF: usize = 40;
const FLAGS: usize = 48;
const PHENTSIZE: usize = 54;
const PHNUM: usize = 56;
const SHNUM: usize = 60;
const P_TYPE: usize = 64;
const P_FLAGS: usize = P_TYPE + 4;
const P_OFFSET: usize = P_TYPE + 8;
const P_VADDR: usize = P_TYPE + 16;
const P_FILESZ: usize = P_TYPE + 32;
const P_MEMSZ: usize = P_TYPE + 40;
const PHDR_BYTES: usize = 56;
const SHDR_BYTES: usize = 64;

/// The kernel with bytes of it replaced.
fn patched(patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut elf = SHA256_CHAIN.to_vec();
    for (at, bytes) in patches {
        elf[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    elf
}

/// What a kernel with one field replaced is refused for.
fn refusal(at: usize, bytes: &[u8]) -> String {
    let elf = patched(&[(at, bytes)]);
    Kernel::parse(&elf).expect_err("a refusal").to_string()
}

fn word(value: u64) -> [u8; 8] {
    value.to_le_bytes()
}

#[test]
fn every_kernel_parses() {
    for (name, elf) in KERNELS {
        let kernel = Kernel::parse(elf).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(kernel.entry(), IMAGE_BASE, "{name}");
        let first = &kernel.segments()[0];
        assert_eq!(first.range.start, IMAGE_BASE, "{name}");
        assert!(first.executable, "{name}");
    }
}

#[test]
fn a_kernel_need_not_be_aligned_in_memory() {
    let aligned = Kernel::parse(SHA256_CHAIN).unwrap();
    for shift in 1..8 {
        let mut bytes = vec![0; shift];
        bytes.extend(SHA256_CHAIN);
        assert_eq!(Kernel::parse(&bytes[shift..]).unwrap(), aligned);
    }
}

#[test]
fn refusals_of_the_file_header_say_what_it_is_and_what_it_must_be() {
    for (at, bytes, expected) in [
        (0, &[0][..], "this is not an ELF file; a kernel must be a static RV64IMAC executable"),
        (
            CLASS,
            &[1],
            "this is a 32-bit ELF (ELFCLASS32); a kernel must be a static RV64IMAC executable",
        ),
        (CLASS, &[9], "an ELF of the unknown class 9"),
        (ENCODING, &[2], "a big-endian ELF (ELFDATA2MSB); a kernel must be little-endian"),
        (IDENT_VERSION, &[2], "format version 2"),
        (TYPE, &[1], "an object file that is not linked (ET_REL)"),
        (TYPE, &[3], "position-independent executable or a shared object (ET_DYN)"),
        (TYPE, &[4], "an ELF of type 4"),
        (MACHINE, &[62], "for x86-64 (machine 62); a kernel must be for RISC-V"),
        (MACHINE, &[7], "for machine 7;"),
        (FLAGS, &[3], "the single float ABI"),
        (FLAGS, &[5], "the double float ABI"),
        (FLAGS, &[7], "the quad float ABI"),
        (FLAGS, &[9], "RVE"),
        (FLAGS, &[0x11], "e_flags are 0x11"),
        (ENTRY, &[1], "the entry point 0x100001 is odd"),
        (ENTRY, &word(8), "the entry point 0x8 lies in no executable segment"),
        (PHOFF, &word(u64::MAX - 8), "its table of program headers cannot be read"),
        (PHENTSIZE, &[55], "its table of program headers cannot be read"),
        (PHNUM, &[0], "the entry point 0x100000 lies in no executable segment"),
        (SHOFF, &word(1 << 40), "its table of sections cannot be read"),
        (SHNUM, &[200, 1], "its table of sections cannot be read"),
    ] {
        let message = refusal(at, bytes);
        assert!(message.contains(expected), "{message}\nlacks {expected:?}");
    }
}

#[test]
fn uncompressed_code_is_a_kernel_too() {
    assert!(Kernel::parse(&patched(&[(FLAGS, &[0])])).is_ok());
}

#[test]
fn refusals_of_segments_name_the_segment() {
    let length = u64::from_le_bytes(SHA256_CHAIN[P_FILESZ..][..8].try_into().unwrap());
    for (at, bytes, expected) in [
        (P_TYPE, &[2][..], "PT_DYNAMIC"),
        (P_TYPE, &[3], "PT_INTERP"),
        (P_TYPE, &[7], "PT_TLS"),
        (P_FLAGS, &[4], "lies in no executable segment"),
        (P_OFFSET, &word(u64::MAX), "segment 0 lies outside the file"),
        (P_OFFSET, &word(SHA256_CHAIN.len() as u64 - length + 1), "segment 0 lies outside"),
        (P_FILESZ, &word(length + 1), "but only"),
        (P_MEMSZ, &word(length - 1), "but only"),
        (P_MEMSZ, &word((1 << 30) + 1), "more than 0x40000000 bytes"),
        (P_MEMSZ, &word(u64::MAX), "past the last address"),
        (P_VADDR, &word(u64::MAX - length + 2), "past the last address"),
    ] {
        let message = refusal(at, bytes);
        assert!(message.contains(expected), "{message}\nlacks {expected:?}");
    }
    let largest = patched(&[(P_MEMSZ, &word(1 << 30))]);
    assert!(Kernel::parse(&largest).is_ok());
}

/// The kernel with `count` more program headers like the first, each moved by `step` bytes.
fn with_segments(count: u16, step: u64) -> Vec<u8> {
    let mut elf = SHA256_CHAIN.to_vec();
    let table = elf.len().next_multiple_of(8);
    elf.resize(table, 0);
    for number in 0..=count {
        let mut header = SHA256_CHAIN[P_TYPE..][..PHDR_BYTES].to_vec();
        let address = IMAGE_BASE + u64::from(number) * step;
        header[P_VADDR - P_TYPE..][..8].copy_from_slice(&word(address));
        elf.extend(header);
    }
    elf[PHOFF..][..8].copy_from_slice(&word(table as u64));
    elf[PHNUM..][..2].copy_from_slice(&(count + 1).to_le_bytes());
    elf
}

#[test]
fn segments_may_touch_but_not_overlap_and_are_counted() {
    let kernel = Kernel::parse(&with_segments(63, 4096)).unwrap();
    assert_eq!(kernel.segments().len(), 64);
    let many = Kernel::parse(&with_segments(64, 4096));
    assert!(matches!(many, Err(ElfError::TooManySegments)));
    let length = kernel.segments()[0].range.end - IMAGE_BASE;
    assert!(Kernel::parse(&with_segments(1, length)).is_ok());
    let overlap = Kernel::parse(&with_segments(1, length - 1)).unwrap_err();
    let message = overlap.to_string();
    assert!(message.starts_with("segments 0 (0x100000.."), "{message}");
}

#[test]
fn a_kernel_that_does_not_fit_names_the_segment() {
    let kernel = Kernel::parse(SHA256_CHAIN).unwrap();
    let end = kernel.segments()[0].range.end;
    assert!(kernel.check_fit(end).is_ok());
    let outside = kernel.check_fit(end - 1).unwrap_err();
    assert_eq!((outside.index, outside.range.end), (0, end));
    let message = outside.to_string();
    assert!(message.starts_with("segment 0 of the kernel (0x100000.."), "{message}");
}

/// Where the architecture string begins in the file.
fn arch_at() -> usize {
    let mut windows = SHA256_CHAIN.windows(5);
    windows.position(|bytes| bytes == b"rv64i").expect("attributes")
}

#[test]
fn an_extension_in_the_attributes_is_named() {
    let zmmul = SHA256_CHAIN.windows(5).position(|bytes| bytes == b"zmmul");
    let message = refusal(zmmul.expect("the extension"), b"zicsr");
    assert!(message.contains(r#"needs the extension "zicsr""#), "{message}");
    let message = refusal(arch_at() + 2, b"32");
    assert!(message.contains(r#"compiled for "rv32i2p1"#), "{message}");
}

#[test]
fn attributes_count_without_a_table_of_sections_too() {
    let zmmul = SHA256_CHAIN.windows(5).position(|bytes| bytes == b"zmmul");
    let zmmul = zmmul.expect("the extension");
    let sectionless = [(SHOFF, &word(0)[..]), (SHNUM, &[0])];
    assert!(Kernel::parse(&patched(&sectionless)).is_ok());
    let [a, b] = sectionless;
    let elf = patched(&[a, b, (zmmul, b"zicsr")]);
    assert!(matches!(Kernel::parse(&elf), Err(ElfError::Extension { .. })));
}

#[test]
fn attributes_are_read_once() {
    // The kernel has one segment and one section of attributes; make two of each in turn.
    let segments = [(P_TYPE, &SHA256_CHAIN[P_TYPE + PHDR_BYTES..][..PHDR_BYTES])];
    let section = |number: usize| {
        let table = u64::from_le_bytes(SHA256_CHAIN[SHOFF..][..8].try_into().unwrap());
        table as usize + number * SHDR_BYTES
    };
    let sections = [(section(1), &SHA256_CHAIN[section(5)..][..SHDR_BYTES])];
    for patches in [segments, sections] {
        let twice = Kernel::parse(&patched(&patches));
        assert!(matches!(twice, Err(ElfError::AttributesTwice)), "{twice:?}");
    }
}

#[test]
fn every_truncation_is_refused_or_whole() {
    for (name, elf) in KERNELS {
        for length in 0..elf.len() {
            assert!(Kernel::parse(&elf[..length]).is_err(), "{name} {length}");
        }
    }
}

/// Goal: no file makes the reader panic or take much memory.
/// Method: flip up to eight bits, mostly in the headers and the attributes.
#[test]
fn random_flips_never_panic() {
    let seed = 0x60d_317;
    println!("GODWIT_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let attributes = arch_at() - 32..arch_at() + 64;
    let mut below = |limit: usize| random.next_u64() as usize % limit;
    let mut kernels = 0;
    for _ in 0..20_000 {
        let mut elf = SHA256_CHAIN.to_vec();
        for _ in 0..=below(8) {
            let at = match below(4) {
                0 | 1 => below(P_TYPE + 2 * PHDR_BYTES),
                2 => attributes.start + below(attributes.len()),
                _ => below(elf.len()),
            };
            elf[at] ^= 1 << below(8);
        }
        if let Ok(kernel) = Kernel::parse(&elf) {
            let bytes: usize = kernel.segments().iter().map(|s| s.bytes.len()).sum();
            assert!(bytes <= elf.len() * 64);
            kernels += 1;
        }
    }
    assert!((100..20_000).contains(&kernels), "{kernels} of 20,000 parse");
}
