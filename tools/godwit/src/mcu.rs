//! What the firmware runs on, as the command line says it.

use crate::{files, symbols};
use clap::{Args, ValueEnum};
use godwit_log::LogReader;
use godwit_regs::flash::{self, PLACES};
use godwit_shim::{IMAGE_BYTES_MAX, Mcu, QemuBoard, QemuMcu, check_image};
use godwit_sys::ImageFile;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The kinds of microcontroller. Comments of the variants would make every help text long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    // None: the firmware runs in this process.
    Native,
    // One that QEMU emulates: the firmware is an image, as it is flashed.
    Qemu,
}

/// The board that an image is built in for.
const FIRST: &str = "qemu-virt-rv64";

/// See the module.
#[derive(Clone, Debug, Args)]
pub(crate) struct McuOptions {
    /// What each host's firmware runs on: this process, or a microcontroller in QEMU.
    #[arg(long, value_name = "KIND", default_value = "native")]
    mcu: Kind,
    /// The board that QEMU emulates.
    #[arg(long, value_name = "NAME", default_value = FIRST, value_parser = board_names())]
    board: String,
    /// The image to boot, an ELF file, in place of the one that is built in.
    #[arg(long, value_name = "PATH")]
    image: Option<PathBuf>,
    /// The flash file to boot, in place of an image: its boot stage starts one of its slots.
    #[arg(long, value_name = "PATH", conflicts_with = "image")]
    flash: Option<PathBuf>,
    /// The ELF file of an image in the flash, to read its log by; may be given more than once.
    #[arg(long, value_name = "PATH", requires = "flash")]
    symbols: Vec<PathBuf>,
    /// Show what the firmware logs, on standard error; it does so in QEMU only.
    #[arg(long)]
    log: bool,
}

/// Why there is no such microcontroller.
#[derive(Debug)]
pub(crate) enum McuError {
    /// There is no image for the board.
    NoImage { board: &'static str },
    /// The file is no image, or cannot be read; the reason goes on from its name.
    Image { path: PathBuf, why: String },
    /// There is no log to read.
    NativeLog,
    /// The image's log cannot be read.
    Log { path: PathBuf, why: String },
    /// The symbols are those of another image than are in the flash.
    OtherSymbols { path: PathBuf, flash: PathBuf },
    /// The board does not boot from a flash.
    NoFlash { board: &'static str },
}

impl fmt::Display for McuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoImage { board } => write!(
                f,
                "no image for {board} is built in: build with `--features all-boards`, or name an \
                 image with --image"
            ),
            Self::Image { path, why } => write!(f, "{} {why}", path.display()),
            Self::NativeLog => write!(
                f,
                "--log needs --mcu qemu: only the image writes a log; in this process the firmware \
                 is built without one"
            ),
            Self::Log { path, why } => {
                write!(f, "{}: {why}: build the image anew, or leave --log out", path.display())
            }
            Self::OtherSymbols { path, flash } => write!(
                f,
                "{}: these are the symbols of another image than are in the slots of {}: name the \
                 ELF files that `cargo xtask image` wrote with those",
                path.display(),
                flash.display()
            ),
            Self::NoFlash { board } => {
                let allowed = PLACES.iter().filter(|place| place.bank.is_some());
                let allowed: Vec<&str> = allowed.map(|place| place.board).collect();
                write!(f, "{board} has no flash with slots: {} are allowed", allowed.join(", "))
            }
        }
    }
}

fn board_names() -> clap::builder::PossibleValuesParser {
    QemuBoard::ALL.map(|board| board.board().name).into()
}

impl McuOptions {
    /// The microcontroller that is asked for.
    pub(crate) fn mcu(&self) -> Result<Mcu, McuError> {
        let board = match (self.mcu, QemuBoard::named(&self.board)) {
            (Kind::Qemu, Some(board)) => board,
            // The parser of the option lets no other name pass.
            (Kind::Native, _) | (_, None) if self.log => return Err(McuError::NativeLog),
            (Kind::Native, _) | (_, None) => return Ok(Mcu::Native),
        };
        if let Some(path) = &self.flash {
            return self.with_flash(board, path);
        }
        let name = board.board().name;
        let path = self.image.clone().unwrap_or_else(|| PathBuf::from(name));
        let wrong = |why| McuError::Image { path: path.clone(), why };
        let image = match &self.image {
            Some(path) => {
                let bytes = files::read(path, IMAGE_BYTES_MAX as u64).map_err(wrong)?;
                let checked = check_image(board.board(), &bytes);
                checked.map_err(|error| wrong(format!("is no image: {error}")))?;
                ImageFile::from_bytes(&bytes)
            }
            None => match godwit_images::image(name) {
                Some(elf) => ImageFile::from_bytes(elf),
                None => return Err(McuError::NoImage { board: name }),
            },
        };
        let image = image.map_err(|error| wrong(error.to_string()))?;
        let log = self.log.then(|| image.read()).transpose();
        let log = log.map_err(|error| wrong(error.to_string()))?;
        let mcu = QemuMcu::new(board, Arc::new(image));
        Ok(Mcu::Qemu(match log.as_deref().map(LogReader::new).transpose() {
            Ok(Some(reader)) => mcu.with_log(reader),
            Ok(None) => mcu,
            Err(error) => return Err(McuError::Log { path, why: error.to_string() }),
        }))
    }

    fn with_flash(&self, board: QemuBoard, flash: &Path) -> Result<Mcu, McuError> {
        let name = board.board().name;
        let place = flash::place(name).filter(|place| place.bank.is_some());
        let place = place.ok_or(McuError::NoFlash { board: name })?;
        let symbols = symbols::of_flash(board, place, flash, &self.symbols)?;
        let mcu = QemuMcu::with_flash(board, flash.to_owned());
        Ok(Mcu::Qemu(match self.log {
            true => mcu.with_symbols_and_log(symbols),
            false => mcu.with_symbols(symbols),
        }))
    }

    /// Whether the firmware's log is asked for.
    pub(crate) const fn log(&self) -> bool {
        self.log
    }
}
