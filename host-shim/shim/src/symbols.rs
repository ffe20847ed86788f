//! What an image's log is read by, and which image in a flash it belongs to.

use godwit_log::{LogError, LogReader};
use godwit_nested::flat;
use godwit_regs::boot::Booted;
use godwit_regs::flash::{PLACES, SLOT_A_AT, SLOT_B_AT};
use godwit_slots::{HEADER_BYTES, Header, Version};
use godwit_sys::ImageFile;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The texts of an image's log, in its ELF file. They are read when somebody wants them.
#[derive(Debug)]
pub(crate) struct Texts {
    file: Arc<ImageFile>,
    reader: OnceLock<Option<LogReader>>,
}

impl Texts {
    pub(crate) const fn of(file: Arc<ImageFile>) -> Self {
        Self { file, reader: OnceLock::new() }
    }

    /// The same, where this reader was made of them.
    pub(crate) fn read_by(self, reader: LogReader) -> Self {
        // An empty place takes it.
        let _ = self.reader.set(Some(reader));
        self
    }

    /// A reader that has read nothing; `None` for an image that has no log.
    pub(crate) fn reader(&self) -> Option<LogReader> {
        let read = || LogReader::new(&self.file.read().ok()?).ok();
        self.reader.get_or_init(read).clone()
    }
}

/// The symbols of an image that may be in a flash: its ELF file. What is signed and flashed is
/// made from it, and has no texts of its own.
#[derive(Clone, Debug)]
pub struct Symbols {
    load: u64,
    sha256: [u8; 32],
    texts: Arc<Texts>,
}

/// Why a file has no symbols of an image.
#[derive(Debug, thiserror::Error)]
pub enum SymbolsError {
    /// No image is made from it.
    #[error("no image is made from it: {0}")]
    Image(String),
    /// Its log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The system gives no memory file.
    #[error("the system gives no memory for it: {0}")]
    Memory(#[from] io::Error),
}

impl Symbols {
    /// Those in an ELF file.
    ///
    /// # Errors
    ///
    /// When it is no image, or has no log.
    pub fn of(elf: &[u8]) -> Result<Self, SymbolsError> {
        let flat = flat(elf).map_err(SymbolsError::Image)?;
        let texts = Texts::of(Arc::new(ImageFile::from_bytes(elf)?));
        let texts = Arc::new(texts.read_by(LogReader::new(elf)?));
        Ok(Self { load: flat.load, sha256: Sha256::digest(&flat.bytes).into(), texts })
    }

    /// Whether the image with this header was made from that file.
    pub fn are_of(&self, header: &Header) -> bool {
        self.sha256 == header.sha256 && self.load == header.load
    }

    pub(crate) const fn texts(&self) -> &Arc<Texts> {
        &self.texts
    }
}

/// Whether this is a plain file as long as a board's flash. Ask before it is opened, since opening
/// a pipe would wait for its other end.
///
/// # Errors
///
/// When there is nothing, or nobody may look.
pub fn is_flash_file(path: &Path) -> io::Result<bool> {
    let found = std::fs::metadata(path)?;
    let mut banks = PLACES.iter().filter_map(|place| place.bank);
    Ok(found.is_file() && banks.any(|bank| bank.bytes as u64 == found.len()))
}

/// The headers in both slots of a flash file, as far as there are any. Nothing of them is proven:
/// only the boot stage says that an image is what its header says.
///
/// # Errors
///
/// When the file cannot be read, or is no flash file.
pub fn slot_headers(flash: &Path) -> io::Result<[Option<Header>; 2]> {
    if !is_flash_file(flash)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no flash file"));
    }
    let file = File::open(flash)?;
    let header = |at: usize| {
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact_at(&mut bytes, at as u64).map(|()| Header::parse(&bytes).ok())
    };
    Ok([header(SLOT_A_AT)?, header(SLOT_B_AT)?])
}

/// The header of what was booted. One that says something else than the boot stage has come into
/// the slot since.
pub(crate) fn booted_header(slots: &[Option<Header>; 2], booted: &Booted) -> Option<Header> {
    let header = slots.get(booted.slot as usize).copied().flatten()?;
    let is_it = header.version == Version::new(booted.version)
        && header.security_version == booted.security_version;
    is_it.then_some(header)
}
