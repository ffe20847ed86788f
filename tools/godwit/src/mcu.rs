//! What the firmware runs on, as the command line says it.

use crate::files;
use clap::{Args, ValueEnum};
use godwit_shim::{IMAGE_BYTES_MAX, Mcu, QemuBoard, QemuMcu, check_image};
use godwit_sys::ImageFile;
use std::fmt;
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
}

/// Why there is no such microcontroller.
#[derive(Debug)]
pub(crate) enum McuError {
    /// There is no image for the board.
    NoImage { board: &'static str },
    /// The file is no image, or cannot be read; the reason goes on from its name.
    Image { path: PathBuf, why: String },
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
        let image = match &self.image {
            Some(path) => {
                let failed = |why| McuError::Image { path: path.clone(), why };
                let bytes = files::read(path, IMAGE_BYTES_MAX as u64).map_err(failed)?;
                check_image(board.board(), &bytes)
                    .map_err(|error| failed(format!("is no image: {error}")))?;
                ImageFile::from_bytes(&bytes).map_err(|error| failed(error.to_string()))?
            }
            None => {
                let name = board.board().name;
                let Some(elf) = godwit_images::image(name) else {
                    return Err(McuError::NoImage { board: name });
                };
                let path = PathBuf::from(name);
                ImageFile::from_bytes(elf)
                    .map_err(|error| McuError::Image { path, why: error.to_string() })?
            }
        };
        Ok(Mcu::Qemu(QemuMcu::new(board, Arc::new(image))))
    }
}
