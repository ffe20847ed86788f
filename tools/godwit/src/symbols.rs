//! Which ELF files the images in a flash were made from, so that their logs can be read.

use crate::files;
use crate::mcu::McuError;
use godwit_regs::flash::{END, Place};
use godwit_shim::{IMAGE_BYTES_MAX, QemuBoard, Symbols, check_image, is_flash_file, slot_headers};
use godwit_slots::{Choice, Flash, Header};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The symbols of what is in a flash's slots: of the files that are named, each of which must be
/// that of one of them, and of the image that is built in. Says so when there are none of what
/// boots.
pub(crate) fn of_flash(
    board: QemuBoard,
    place: &Place,
    flash: &Path,
    named: &[PathBuf],
) -> Result<Vec<Symbols>, McuError> {
    let unreadable = |error: io::Error| McuError::Image {
        path: flash.to_owned(),
        why: format!("cannot be read: {error}"),
    };
    if !is_flash_file(flash).map_err(unreadable)? {
        return Err(McuError::Image { path: flash.to_owned(), why: files::no_flash_file() });
    }
    let slots = slot_headers(flash).map_err(unreadable)?;
    let fits = |it: &Symbols| slots.iter().flatten().any(|header| it.are_of(header));
    let mut symbols = Vec::new();
    for path in named {
        let found = read(board, path)?;
        if !fits(&found) {
            return Err(McuError::OtherSymbols { path: path.clone(), flash: flash.to_owned() });
        }
        symbols.push(found);
    }
    let built_in = godwit_images::image(board.board().name).and_then(|elf| Symbols::of(elf).ok());
    symbols.extend(built_in.filter(fits));
    match boots(place, flash).map_err(unreadable)? {
        Some(choice) if !symbols.iter().any(|it| it.are_of(&choice.header)) => {
            let Choice { slot, header: Header { version, .. }, .. } = choice;
            anstream::eprintln!(
                "warning: the log of the image in slot {slot} of {} ({version}) is not read, since \
                 there are no symbols of it: name its ELF file with --symbols",
                flash.display()
            );
        }
        // When nothing boots, the run says why.
        Some(_) | None => {}
    }
    Ok(symbols)
}

fn read(board: QemuBoard, path: &Path) -> Result<Symbols, McuError> {
    let wrong = |why| McuError::Image { path: path.to_owned(), why };
    let bytes = files::read(path, IMAGE_BYTES_MAX as u64).map_err(wrong)?;
    let checked = check_image(board.board(), &bytes);
    checked.map_err(|error| wrong(format!("is no image: {error}")))?;
    let symbols = Symbols::of(&bytes);
    symbols.map_err(|error| McuError::Log { path: path.to_owned(), why: error.to_string() })
}

/// What the boot stage will start.
fn boots(place: &Place, flash: &Path) -> io::Result<Option<Choice>> {
    let mut bytes = Vec::with_capacity(END);
    File::open(flash)?.take(END as u64).read_to_end(&mut bytes)?;
    Ok(Flash::new(&bytes, place).decide().choice.ok())
}
