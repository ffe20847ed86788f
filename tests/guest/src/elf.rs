//! Reads kernels: static RV64IMAC executables, as any RISC-V compiler makes them.
//!
//! The file may come from anywhere, so everything in it is checked here, once.

use crate::arch;
use crate::{Kernel, Segment};
use object::elf::{
    EF_RISCV_FLOAT_ABI, EF_RISCV_RVC, EF_RISCV_RVE, ELFCLASS32, ELFCLASS64, ELFDATA2LSB,
    ELFDATA2MSB, ELFMAG, EM_RISCV, ET_DYN, ET_EXEC, ET_REL, EV_CURRENT, FileHeader64, PF_X,
    PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_RISCV_ATTRIBUTES, PT_TLS, ProgramHeader64,
    SHT_RISCV_ATTRIBUTES,
};
use object::read::elf::{
    AttributeReader, AttributesSection, FileHeader as _, ProgramHeader as _, SectionHeader as _,
};
use object::{LittleEndian, read};
use std::ops::Range;
use thiserror::Error;

/// Segments that a kernel may have.
const SEGMENTS_MAX: usize = 64;
/// Bytes that a kernel's image may have.
const IMAGE_BYTES_MAX: u64 = 1 << 30;
/// `Tag_RISCV_arch` of the attributes: a string. Odd tags are strings, even ones integers.
const TAG_ARCH: u64 = 5;

const LE: LittleEndian = LittleEndian;
type Header = FileHeader64<LittleEndian>;

/// Why a file is no kernel.
#[derive(Debug, Error)]
pub enum ElfError {
    /// The magic number is missing.
    #[error("this is not an ELF file; a kernel must be a static RV64IMAC executable")]
    NotElf,
    /// Another class than 64-bit.
    #[error(
        "this is {}; a kernel must be a static RV64IMAC executable",
        class_name(*class)
    )]
    Class {
        /// EI_CLASS.
        class: u8,
    },
    /// Another encoding than little-endian.
    #[error(
        "this is {}; a kernel must be little-endian (ELFDATA2LSB)",
        encoding_name(*encoding)
    )]
    Encoding {
        /// EI_DATA.
        encoding: u8,
    },
    /// Another version of the format.
    #[error("this ELF file has format version {version}; only version 1 is defined")]
    Version {
        /// EI_VERSION or e_version.
        version: u32,
    },
    /// For another machine.
    #[error(
        "this ELF file is for {}; a kernel must be for RISC-V (machine 243)",
        machine_name(*machine)
    )]
    Machine {
        /// e_machine.
        machine: u16,
    },
    /// Not an executable at fixed addresses.
    #[error(
        "this is {}; a kernel must be a static executable at fixed addresses (ET_EXEC)",
        type_name(*kind)
    )]
    Type {
        /// e_type.
        kind: u16,
    },
    /// Compiled to pass floating-point numbers in registers of their own.
    #[error(
        "this kernel uses the {} float ABI; the compute engine has no floating point: compile \
         for rv64imac with the ABI lp64",
        float_abi_name(*flags)
    )]
    FloatAbi {
        /// e_flags.
        flags: u32,
    },
    /// Compiled for the base with 16 registers.
    #[error("this kernel uses the RVE ABI of 16 registers; compile it for rv64imac")]
    Rve,
    /// Flags that nothing here knows.
    #[error("this kernel's e_flags are {flags:#x}; only compressed instructions (0x1) are allowed")]
    Flags {
        /// e_flags.
        flags: u32,
    },
    /// Needs a dynamic linker.
    #[error("this kernel has a {header} header; a kernel must be linked statically")]
    Dynamic {
        /// PT_INTERP or PT_DYNAMIC.
        header: &'static str,
    },
    /// Has thread-local storage, which no one would set up.
    #[error(
        "this kernel has thread-local storage (PT_TLS); a thread's own data must be on its stack"
    )]
    ThreadLocal,
    /// A table of the file that is not where the header says.
    #[error("this ELF file is damaged: its {part} cannot be read")]
    Damaged {
        /// Which table.
        part: &'static str,
        /// What is wrong with it.
        #[source]
        source: read::Error,
    },
    /// More attributes than one file has. Each may be as long as the file, so this bounds the
    /// time that it takes to read them.
    #[error("this kernel has more than one set of RISC-V attributes")]
    AttributesTwice,
    /// The attributes name another base than RV64I.
    #[error("this kernel is compiled for {arch:?}; a kernel must be rv64i with any of m, a and c")]
    Base {
        /// The architecture string.
        arch: String,
    },
    /// The attributes name an extension that the compute engine does not have.
    #[error(
        "this kernel needs the extension {name:?} (it is compiled for {arch:?}); the compute \
         engine has rv64imac: m, a, c and their parts zmmul, zaamo, zalrsc and zca"
    )]
    Extension {
        /// Its name, without a version.
        name: String,
        /// The architecture string.
        arch: String,
    },
    /// A segment whose bytes are not all in the file.
    #[error("segment {index} lies outside the file: {byte_count:#x} bytes at {offset:#x}")]
    SegmentOutsideFile {
        /// Number of its program header.
        index: usize,
        /// Where it begins in the file.
        offset: u64,
        /// Its length in the file.
        byte_count: u64,
    },
    /// A segment that is longer in the file than in memory.
    #[error(
        "segment {index} has {file_bytes:#x} bytes in the file but only {memory_bytes:#x} in memory"
    )]
    SegmentShrinks {
        /// Number of its program header.
        index: usize,
        /// p_filesz.
        file_bytes: u64,
        /// p_memsz.
        memory_bytes: u64,
    },
    /// A segment that ends past the last address.
    #[error("segment {index} has {byte_count:#x} bytes at {address:#x}, past the last address")]
    SegmentOverflows {
        /// Number of its program header.
        index: usize,
        /// p_vaddr.
        address: u64,
        /// p_memsz.
        byte_count: u64,
    },
    /// Two segments that share addresses.
    #[error("segments {first} ({first_range:#x?}) and {second} ({second_range:#x?}) overlap")]
    SegmentsOverlap {
        /// Number of the one's program header.
        first: usize,
        /// Where it lies.
        first_range: Range<u64>,
        /// Number of the other's.
        second: usize,
        /// Where that lies.
        second_range: Range<u64>,
    },
    /// Too many segments.
    #[error("this kernel has more than {most} segments to load", most = SEGMENTS_MAX)]
    TooManySegments,
    /// The image is too large.
    #[error("this kernel's image has more than {most:#x} bytes", most = IMAGE_BYTES_MAX)]
    TooLarge,
    /// The entry point is not in code.
    #[error("the entry point {entry:#x} lies in no executable segment")]
    EntryOutside {
        /// e_entry.
        entry: u64,
    },
    /// The entry point is odd.
    #[error("the entry point {entry:#x} is odd; instructions begin at even addresses")]
    EntryOdd {
        /// e_entry.
        entry: u64,
    },
}

impl Kernel {
    /// Reads a kernel from an ELF file.
    pub fn parse(bytes: &[u8]) -> Result<Self, ElfError> {
        check_ident(bytes)?;
        let header = Header::parse(bytes).map_err(damaged("header"))?;
        check_header(header)?;
        let program_headers =
            header.program_headers(LE, bytes).map_err(damaged("table of program headers"))?;
        let mut segments = Vec::new();
        let mut image_bytes = 0;
        let mut attributes = None;
        for (index, program_header) in program_headers.iter().enumerate() {
            match program_header.p_type(LE) {
                PT_LOAD => {}
                PT_INTERP => return Err(ElfError::Dynamic { header: "PT_INTERP" }),
                PT_DYNAMIC => {
                    return Err(ElfError::Dynamic { header: "PT_DYNAMIC" });
                }
                PT_TLS if program_header.p_memsz(LE) > 0 => return Err(ElfError::ThreadLocal),
                PT_RISCV_ATTRIBUTES if attributes.is_some() => {
                    return Err(ElfError::AttributesTwice);
                }
                PT_RISCV_ATTRIBUTES => {
                    attributes = Some(segment_data(index, program_header, bytes)?);
                    continue;
                }
                _ => continue,
            }
            let segment = read_segment(index, program_header, bytes, &mut image_bytes)?;
            // One of no bytes says nothing; linkers leave such.
            segments.extend((!segment.range.is_empty()).then_some(segment));
            if segments.len() > SEGMENTS_MAX {
                return Err(ElfError::TooManySegments);
            }
        }
        // The same bytes as a rule, but either table may be missing.
        for attributes in [attributes, attributes_section(header, bytes)?] {
            check_attributes(attributes.unwrap_or(&[])).map_err(AttributesError::named)?;
        }
        segments.sort_by_key(|segment| segment.range.start);
        check_apart(&segments)?;
        let entry = header.e_entry(LE);
        check_entry(entry, &segments)?;
        Ok(Self { entry, segments })
    }
}

fn damaged(part: &'static str) -> impl Fn(read::Error) -> ElfError {
    move |source| ElfError::Damaged { part, source }
}

/// Checks what every ELF file begins with, of whatever class.
fn check_ident(bytes: &[u8]) -> Result<(), ElfError> {
    let Some([m0, m1, m2, m3, class, encoding, version, ..]) = bytes.first_chunk::<16>() else {
        return Err(ElfError::NotElf);
    };
    if [*m0, *m1, *m2, *m3] != ELFMAG {
        return Err(ElfError::NotElf);
    }
    if *class != ELFCLASS64.0 {
        return Err(ElfError::Class { class: *class });
    }
    if *encoding != ELFDATA2LSB.0 {
        return Err(ElfError::Encoding { encoding: *encoding });
    }
    if *version != EV_CURRENT.0 {
        return Err(ElfError::Version { version: u32::from(*version) });
    }
    Ok(())
}

fn check_header(header: &Header) -> Result<(), ElfError> {
    let version = header.e_version(LE);
    if version != u32::from(EV_CURRENT.0) {
        return Err(ElfError::Version { version });
    }
    let machine = header.e_machine(LE);
    if machine != EM_RISCV {
        return Err(ElfError::Machine { machine: machine.0 });
    }
    let kind = header.e_type(LE);
    if kind != ET_EXEC {
        return Err(ElfError::Type { kind: kind.0 });
    }
    let flags = header.e_flags(LE).0;
    if flags & EF_RISCV_FLOAT_ABI != 0 {
        return Err(ElfError::FloatAbi { flags });
    }
    if flags & EF_RISCV_RVE.0 != 0 {
        return Err(ElfError::Rve);
    }
    if flags & !EF_RISCV_RVC.0 != 0 {
        return Err(ElfError::Flags { flags });
    }
    Ok(())
}

fn segment_data<'data>(
    index: usize,
    header: &ProgramHeader64<LittleEndian>,
    file: &'data [u8],
) -> Result<&'data [u8], ElfError> {
    header.data(LE, file).map_err(|()| {
        let (offset, byte_count) = header.file_range(LE);
        ElfError::SegmentOutsideFile { index, offset, byte_count }
    })
}

/// Reads a segment and adds its length to `image_bytes`, before its bytes are copied: many
/// headers may name the same bytes of the file.
fn read_segment(
    index: usize,
    header: &ProgramHeader64<LittleEndian>,
    file: &[u8],
    image_bytes: &mut u64,
) -> Result<Segment, ElfError> {
    let address = header.p_vaddr(LE);
    let (file_bytes, memory_bytes) = (header.p_filesz(LE), header.p_memsz(LE));
    if file_bytes > memory_bytes {
        return Err(ElfError::SegmentShrinks { index, file_bytes, memory_bytes });
    }
    let Some(end) = address.checked_add(memory_bytes) else {
        return Err(ElfError::SegmentOverflows { index, address, byte_count: memory_bytes });
    };
    *image_bytes = image_bytes.saturating_add(memory_bytes);
    if *image_bytes > IMAGE_BYTES_MAX {
        return Err(ElfError::TooLarge);
    }
    Ok(Segment {
        index,
        range: address..end,
        bytes: segment_data(index, header, file)?.to_vec(),
        executable: header.p_flags(LE).0 & PF_X.0 != 0,
    })
}

/// Checks neighbours; the segments are sorted and none is empty.
fn check_apart(segments: &[Segment]) -> Result<(), ElfError> {
    let mut pairs = segments.iter().zip(segments.iter().skip(1));
    match pairs.find(|(low, high)| low.range.end > high.range.start) {
        None => Ok(()),
        Some((low, high)) => Err(ElfError::SegmentsOverlap {
            first: low.index,
            first_range: low.range.clone(),
            second: high.index,
            second_range: high.range.clone(),
        }),
    }
}

fn check_entry(entry: u64, segments: &[Segment]) -> Result<(), ElfError> {
    if !entry.is_multiple_of(2) {
        return Err(ElfError::EntryOdd { entry });
    }
    let mut code = segments.iter().filter(|segment| segment.executable);
    if code.any(|segment| segment.range.contains(&entry)) {
        Ok(())
    } else {
        Err(ElfError::EntryOutside { entry })
    }
}

fn attributes_section<'data>(
    header: &Header,
    file: &'data [u8],
) -> Result<Option<&'data [u8]>, ElfError> {
    let sections = header.section_headers(LE, file).map_err(damaged("table of sections"))?;
    let mut found = sections.iter().filter(|section| section.sh_type(LE) == SHT_RISCV_ATTRIBUTES);
    let Some(section) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err(ElfError::AttributesTwice);
    }
    let data = section.data(LE, file);
    data.map(Some).map_err(damaged("section of attributes"))
}

/// What is wrong with attributes: their form, or the architecture that they name.
enum AttributesError {
    Form(read::Error),
    Arch(ElfError),
}

impl AttributesError {
    fn named(self) -> ElfError {
        match self {
            Self::Form(source) => damaged("attributes")(source),
            Self::Arch(error) => error,
        }
    }
}

impl From<read::Error> for AttributesError {
    fn from(error: read::Error) -> Self {
        Self::Form(error)
    }
}

/// Checks every architecture string of a section of attributes.
fn check_attributes(data: &[u8]) -> Result<(), AttributesError> {
    let section = AttributesSection::<Header>::new(LE, data)?;
    let mut vendors = section.subsections()?;
    while let Some(vendor) = vendors.next()? {
        if vendor.vendor() != b"riscv" {
            continue;
        }
        let mut scopes = vendor.subsubsections();
        while let Some(scope) = scopes.next()? {
            check_scope(&mut scope.attributes())?;
        }
    }
    Ok(())
}

fn check_scope(attributes: &mut AttributeReader<'_>) -> Result<(), AttributesError> {
    while let Some(tag) = attributes.read_tag()? {
        if tag.is_multiple_of(2) {
            attributes.read_integer()?;
            continue;
        }
        let text = attributes.read_string()?;
        if tag == TAG_ARCH {
            arch::check(&String::from_utf8_lossy(text)).map_err(AttributesError::Arch)?;
        }
    }
    Ok(())
}

fn class_name(class: u8) -> String {
    if class == ELFCLASS32.0 {
        return "a 32-bit ELF (ELFCLASS32)".to_owned();
    }
    format!("an ELF of the unknown class {class}")
}

fn encoding_name(encoding: u8) -> String {
    if encoding == ELFDATA2MSB.0 {
        return "a big-endian ELF (ELFDATA2MSB)".to_owned();
    }
    format!("an ELF of the unknown encoding {encoding}")
}

fn machine_name(machine: u16) -> String {
    let name = match machine {
        3 => "x86",
        40 => "Arm",
        62 => "x86-64",
        183 => "AArch64",
        190 => "CUDA",
        224 => "AMD GPUs",
        _ => return format!("machine {machine}"),
    };
    format!("{name} (machine {machine})")
}

fn type_name(kind: u16) -> String {
    if kind == ET_REL.0 {
        return "an object file that is not linked (ET_REL)".to_owned();
    }
    if kind == ET_DYN.0 {
        return "a position-independent executable or a shared object (ET_DYN)".to_owned();
    }
    format!("an ELF of type {kind}")
}

fn float_abi_name(flags: u32) -> &'static str {
    match flags & EF_RISCV_FLOAT_ABI {
        2 => "single",
        4 => "double",
        _ => "quad",
    }
}
