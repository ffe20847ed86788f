//! `godwit image`: image files, and flash files to boot them from.

mod flash_file;
mod show;
mod verify;

use crate::files;
use clap::{Subcommand, ValueEnum};
use flash_file::FlashFile;
use godwit_regs::flash::{PLACES, SLOT_BYTES};
use godwit_slots::{
    DEVELOPMENT_KEY, Header, PublicKey, Refusal, SecretKey, Slot, Update, UpdateRefusal,
};
use std::path::{Path, PathBuf};
use verify::Verification;

/// What is done with images.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Shows an image file's header, and whether the file is what was signed.
    Verify {
        /// The image file; `cargo xtask image` writes them.
        file: PathBuf,
        /// The public key to check it with, in place of the development key's.
        #[arg(long, value_name = "PATH")]
        key: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Puts an image file into a slot of a flash file, from where it boots next.
    Flash {
        /// The slot.
        #[arg(long, value_name = "SLOT")]
        slot: SlotName,
        /// The flash file; one that does not exist is made, with the boot stage in it.
        #[arg(long, value_name = "PATH")]
        flash: PathBuf,
        /// The public key that a new flash file checks images with, in place of the development
        /// key's.
        #[arg(long, value_name = "PATH")]
        key: Option<PathBuf>,
        /// The image file.
        file: PathBuf,
    },
    /// Shows what is in a flash file, and what boots from it.
    Show {
        /// The flash file.
        flash: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Raises the guard to the security version of what boots: what is older never boots again.
    Confirm {
        /// The flash file.
        flash: PathBuf,
    },
    /// Prints the public key of a secret key file.
    Key {
        /// The secret key, a file with 64 hexadecimal digits.
        secret: PathBuf,
    },
}

/// A slot, by its name. Comments of the variants would make every help text long.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SlotName {
    A,
    B,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was asked for is not allowed.
    Refused(String),
    /// The command line has a mistake, or a file cannot be read.
    Mistake(String),
}

/// What is printed, and whether it is good.
pub(crate) type Outcome = Result<(String, bool), Failure>;

impl ImageCommand {
    /// Does it.
    pub(crate) fn run(&self) -> Outcome {
        match self {
            Self::Verify { file, key, json } => {
                let found = Verification::of(&read_image(file)?, &public_key(key.as_deref())?);
                let text = if *json { found.json() + "\n" } else { found.human() };
                Ok((text, found.sound))
            }
            Self::Flash { slot, flash, key, file } => {
                let slot = match slot {
                    SlotName::A => Slot::A,
                    SlotName::B => Slot::B,
                };
                install(slot, flash, key.as_deref(), file)
            }
            Self::Show { flash, json } => {
                let shown = show::Shown::of(&FlashFile::open(flash)?);
                let text = if *json { shown.json() + "\n" } else { shown.human() };
                Ok((text, shown.boots.is_some()))
            }
            Self::Confirm { flash } => confirm(flash),
            Self::Key { secret } => {
                let key = SecretKey::from_text(&read_text(secret)?);
                let key = key.map_err(|error| mistake(secret, error))?;
                Ok((format!("{:?}\n", key.public()), true))
            }
        }
    }
}

/// Puts an image into a slot. A flash file is made only for an image that it would boot.
fn install(slot: Slot, path: &Path, key: Option<&Path>, file: &Path) -> Outcome {
    let image = read_image(file)?;
    let header = Header::parse(&image).map_err(|why| refused_image(file, why))?;
    if path.exists() {
        let flash = FlashFile::open(path)?;
        let trusted = flash.view().key();
        if let Some(wanted) = key
            && trusted != Some(public_key(Some(wanted))?)
        {
            return Err(Failure::Mistake(format!(
                "{}: it checks images with another key than {}: leave --key out, or make a new \
                 flash file",
                path.display(),
                wanted.display()
            )));
        }
        return perform_install(flash, slot, &image, file);
    }
    let Some(place) = PLACES.iter().find(|place| place.board == header.board.as_str()) else {
        return Err(refused_image(file, Refusal::Board));
    };
    let key = public_key(key)?;
    let found = Verification::of(&image, &key);
    if let Some(problem) = &found.problem {
        return Err(Failure::Refused(format!("{}: {}", file.display(), problem.text)));
    }
    perform_install(FlashFile::create(path, place, key)?, slot, &image, file)
}

fn perform_install(mut flash: FlashFile, slot: Slot, image: &[u8], file: &Path) -> Outcome {
    let (update, header) =
        Update::install(&flash.view(), slot, image).map_err(|why| match why {
            UpdateRefusal::Image(refusal) => refused_image(file, refusal),
            other => Failure::Refused(other.to_string()),
        })?;
    flash.perform(&update)?;
    warn_of(flash.view().key());
    let Header { board, version, security_version, .. } = header;
    let board = board.as_str();
    let said = format!("{board} {version}, security version {security_version}");
    Ok((format!("slot {slot} holds {said}, and boots next\n"), true))
}

fn confirm(path: &Path) -> Outcome {
    let mut flash = FlashFile::open(path)?;
    let update = Update::confirm(&flash.view());
    let (update, slot, header) = update.map_err(|why| Failure::Refused(why.to_string()))?;
    flash.perform(&update)?;
    let guard = update.state().guard;
    let version = header.version;
    Ok((
        format!("slot {slot}, {version}, is confirmed: no security version below {guard} boots\n"),
        true,
    ))
}

fn refused_image(file: &Path, why: Refusal) -> Failure {
    Failure::Refused(format!("{}: {why} ({})", file.display(), why.name()))
}

fn mistake(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::Mistake(format!("{}: {why}", path.display()))
}

/// The most bytes of a file that is read for an image; one that is no larger says what is wrong.
const IMAGE_BYTES_MAX: u64 = 2 * SLOT_BYTES as u64;

fn read_image(path: &Path) -> Result<Vec<u8>, Failure> {
    files::read(path, IMAGE_BYTES_MAX).map_err(|why| mistake(path, why))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = files::read(path, 4096).map_err(|why| mistake(path, why))?;
    String::from_utf8(bytes).map_err(|_| mistake(path, "it is no text"))
}

/// The key of a file, or that which everybody has.
fn public_key(path: Option<&Path>) -> Result<PublicKey, Failure> {
    match path {
        Some(path) => PublicKey::from_text(&read_text(path)?).map_err(|error| mistake(path, error)),
        None => {
            let key = SecretKey::from_text(DEVELOPMENT_KEY);
            Ok(key.expect("the key in the tree is one").public())
        }
    }
}

/// What is said of the key that everybody has.
const DEVELOPMENT: &str =
    "SIGNED WITH THE DEVELOPMENT KEY, which everybody has: whose image this is nobody knows";

fn warn_of(key: Option<PublicKey>) {
    if key.is_some_and(|key| key.is_development()) {
        anstream::eprintln!("warning: {DEVELOPMENT}");
    }
}
