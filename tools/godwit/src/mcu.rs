//! What the firmware runs on, as the command line says it.

use clap::{Args, ValueEnum};
use godwit_regs::flash::{self, PLACES};
use godwit_shim::{Mcu, QemuBoard, QemuMcu};
use godwit_sys::ImageFile;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
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
}

/// Why there is no such microcontroller.
#[derive(Debug)]
pub(crate) enum McuError {
    /// There is no image for the board.
    NoImage { board: &'static str },
    /// The image cannot be read.
    Image { path: PathBuf, error: io::Error },
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
            Self::NoFlash { board } => {
                let allowed = PLACES.iter().filter(|place| place.bank.is_some());
                let allowed: Vec<&str> = allowed.map(|place| place.board).collect();
                write!(f, "{board} has no flash with slots: {} are allowed", allowed.join(", "))
            }
            Self::Image { path, error } => write!(f, "{}: {error}", path.display()),
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
            (Kind::Native, _) | (_, None) => return Ok(Mcu::Native),
        };
        if let Some(path) = &self.flash {
            return with_flash(board, path.clone());
        }
        let image = match &self.image {
            Some(path) => ImageFile::open(path.clone())
                .map_err(|error| McuError::Image { path: path.clone(), error })?,
            None => {
                let name = board.board().name;
                let Some(elf) = godwit_images::image(name) else {
                    return Err(McuError::NoImage { board: name });
                };
                let path = PathBuf::from(name);
                ImageFile::from_bytes(elf).map_err(|error| McuError::Image { path, error })?
            }
        };
        Ok(Mcu::Qemu(QemuMcu::new(board, Arc::new(image))))
    }
}

fn with_flash(board: QemuBoard, path: PathBuf) -> Result<Mcu, McuError> {
    let name = board.board().name;
    if flash::place(name).is_none_or(|place| place.bank.is_none()) {
        return Err(McuError::NoFlash { board: name });
    }
    match File::open(&path) {
        Ok(_) => Ok(Mcu::Qemu(QemuMcu::with_flash(board, path))),
        Err(error) => Err(McuError::Image { path, error }),
    }
}
