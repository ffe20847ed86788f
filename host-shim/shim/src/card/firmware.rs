//! What a card's firmware runs on.

use crate::attached::Attached;
use crate::loss::{Loss, LossCause};
use crate::native::Native;
use crate::remote::Remote;
use godwit_mmio::Burst;

/// See the module.
#[derive(Debug)]
pub(super) enum Core {
    Native(Box<Native>),
    Remote(Box<Remote>),
    Attached(Box<Attached>),
}

impl Core {
    /// Lets firmware elsewhere work until it has nothing to do. `None`: it has nothing to do now.
    pub(super) fn work(&mut self) -> Result<Option<Burst>, Loss> {
        match self {
            Self::Native(_) => Ok(None),
            Self::Remote(remote) => remote.work(),
            Self::Attached(attached) => attached.work(),
        }
    }

    /// A loss, with what the firmware was last seen doing.
    pub(super) fn loss(&mut self, cause: LossCause) -> Loss {
        match self {
            Self::Native(_) => Loss::native(cause),
            Self::Remote(remote) => remote.loss(cause),
            Self::Attached(attached) => attached.loss(cause),
        }
    }

    /// Cuts its power, where that is the host's.
    pub(super) fn power_off(&mut self) {
        if let Self::Remote(remote) = self {
            remote.power_off();
        }
    }

    /// Whether the host can start it again.
    pub(super) fn can_restart(&self) -> bool {
        match self {
            Self::Native(_) | Self::Remote(_) => true,
            Self::Attached(_) => false,
        }
    }
}
