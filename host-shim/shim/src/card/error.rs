//! Why there is no card.

use crate::attached::WindowError;
use crate::image::ImageError;
use crate::loss::{Loss, named, other_protocol, version_sentence};
use godwit_sys::QemuError;
use godwit_types::Gfid;
use std::io;

/// Why there is no card.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The system gives no memory files.
    #[error("the system gives no memory for a simulated GPU: {0}")]
    Memory(#[from] io::Error),
    /// The microcontroller does not start.
    #[error(transparent)]
    Mcu(#[from] QemuError),
    /// The microcontroller of somebody else's has no window to use.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// The firmware does not come up.
    #[error("{0}")]
    Firmware(Box<Loss>),
    /// There is no image to replace.
    #[error("the firmware runs in this process, and has no image")]
    NoImage,
    /// Its microcontroller is not the host's.
    #[error("the microcontroller is somebody else's: who runs it replaces its image")]
    NotOurs,
    /// Its image comes out of a flash.
    #[error("the firmware boots from a flash: flash its other slot, and restart it")]
    Flashed,
    /// The file is no image for the board.
    #[error("this is no image: {0}")]
    Image(#[from] ImageError),
    /// Firmware and host speak different versions of the mailbox's protocol.
    #[error("{}", version_sentence(*firmware, *host))]
    Version {
        /// The firmware's.
        firmware: u32,
        /// The host's.
        host: u32,
    },
    /// The firmware has come up without vGPUs that the one before it had.
    #[error("the firmware does not take over {}", named(.0))]
    Vgpus(Vec<Gfid>),
    /// The firmware was lost again and again after it had come up; of the last time.
    #[error("{0}")]
    Lost(String),
    /// The firmware answers, and does not tell that it has taken over.
    #[error("the firmware does not say that it has started")]
    NeverStarted,
}

impl From<Loss> for CardError {
    fn from(loss: Loss) -> Self {
        match other_protocol(&loss.cause) {
            Some((firmware, host)) => Self::Version { firmware, host },
            None => Self::Firmware(Box::new(loss)),
        }
    }
}
