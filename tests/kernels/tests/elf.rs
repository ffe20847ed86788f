//! Every kernel is a program that the simulated GPU can run.

mod support;

use ckb_vm::decoder::build_decoder;
use ckb_vm::machine::VERSION2;
use ckb_vm::{ISA_A, ISA_IMC};
use godwit_kernels::{IMAGE_BASE, KERNELS, LAUNCH_BASE};
use object::elf::{
    EF_RISCV_RVC, EM_RISCV, ET_EXEC, FileHeader64, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_TLS,
};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{LittleEndian, Object as _, ObjectSection as _};
use support::{FlatMemory, load};

fn parse(elf: &[u8]) -> ElfFile64<'_, LittleEndian> {
    ElfFile64::parse(elf).expect("a 64-bit little-endian ELF file")
}

#[test]
fn kernels_are_static_riscv_executables_without_floating_point() {
    for (name, elf) in KERNELS {
        let file = parse(elf);
        let header: &FileHeader64<LittleEndian> = file.elf_header();
        assert_eq!(header.e_type(LittleEndian), ET_EXEC, "{name}");
        assert_eq!(header.e_machine(LittleEndian), EM_RISCV, "{name}");
        let flags = header.e_flags(LittleEndian);
        assert_eq!(flags, EF_RISCV_RVC, "{name}: compressed, soft-float, nothing else");
        for segment in file.elf_program_headers() {
            let kind = segment.p_type(LittleEndian);
            assert!(![PT_DYNAMIC, PT_INTERP, PT_TLS].contains(&kind), "{name}: {kind:#x}");
            let flags = segment.p_flags(LittleEndian);
            assert_ne!(flags & (PF_W | PF_X), PF_W | PF_X, "{name}: writable code");
        }
    }
}

#[test]
fn segments_lie_between_the_image_base_and_the_launchers_part() {
    for (name, elf) in KERNELS {
        let (entry, segments) = load(elf);
        assert_eq!(entry, IMAGE_BASE, "{name}");
        assert!(segments.iter().any(|segment| segment.address == IMAGE_BASE), "{name}");
        for segment in segments {
            let end = segment.address + segment.size_in_memory;
            assert!(segment.bytes.len() as u64 <= segment.size_in_memory, "{name}");
            assert!(segment.address >= IMAGE_BASE && end <= LAUNCH_BASE, "{name}");
        }
    }
}

#[test]
fn all_code_is_rv64imac() {
    for (name, elf) in KERNELS {
        let file = parse(elf);
        let text = file.section_by_name(".text").expect("code");
        let code = text.data().expect("bytes");
        // The decoder looks at 4 bytes even where an instruction has 2.
        let mut memory = FlatMemory::of([code, &[0; 2]].concat());
        let mut decoder = build_decoder::<u64>(ISA_IMC | ISA_A, VERSION2);
        let mut at = 0;
        while at < code.len() {
            let long = code[at] & 3 == 3;
            let illegal = code[at..].starts_with(&[0, 0]); // `unimp`, on purpose
            let known = decoder.decode(&mut memory, at as u64).is_ok();
            assert!(
                known || illegal,
                "{name}: unknown instruction at {:#x}",
                text.address() + at as u64
            );
            at += if long { 4 } else { 2 };
        }
    }
}

#[test]
fn images_hold_no_path_of_the_machine_that_made_them() {
    let package = env!("CARGO_MANIFEST_DIR");
    let root = package.trim_end_matches("/tests/kernels");
    for (name, elf) in KERNELS {
        let found = elf.windows(root.len()).any(|bytes| bytes == root.as_bytes());
        assert!(!found, "{name} names {root}");
        assert!(parse(elf).section_by_name(".debug_info").is_none(), "{name} has debug sections");
    }
}
