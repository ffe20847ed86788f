//! Tokens that prove that something has happened on the device.

use crate::{Epoch, Gfid};

/// Proof that in this epoch every engine has let go of the vGPU and its transfers have
/// drained, so that its memory and contexts hold still.
///
/// Neither `Copy` nor `Clone`: who holds it may save, and gives it up when the vGPU runs on.
/// The engine mints it in one module, from acknowledged sequence numbers; the layer check
/// holds that no other place does.
#[derive(Debug, PartialEq, Eq)]
pub struct Quiesced {
    gfid: Gfid,
    epoch: Epoch,
}

impl Quiesced {
    /// For the engine's `quiesce` module alone.
    #[must_use]
    pub const fn mint(gfid: Gfid, epoch: Epoch) -> Self {
        Self { gfid, epoch }
    }

    /// Whose standstill this proves.
    pub const fn gfid(&self) -> Gfid {
        self.gfid
    }

    /// Which standstill this proves.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }
}
