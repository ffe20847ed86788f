//! Where a vGPU sits: partition, aperture, and the guest's view of channels, time, interrupts.

use godwit_types::{Aperture, Gfid, Placement, Profile, Route};

/// The VMMU's base and limit for each vGPU.
pub trait Partitions {
    /// Gives a vGPU its partition. The answer is a later [`Self::poll_partition`].
    fn set_partition(&mut self, gfid: Gfid, placement: &Placement, profile: &Profile);

    /// Takes the partition away: no address of this vGPU is valid any more.
    fn clear_partition(&mut self, gfid: Gfid);

    /// The next vGPU whose request has taken effect.
    fn poll_partition(&mut self) -> Option<Gfid>;
}

/// The BAR blocks.
pub trait Apertures {
    /// Binds a vGPU's window. Before a window is moved or opened it is blocked, and the
    /// answer awaited.
    fn bind_aperture(&mut self, gfid: Gfid, aperture: &Aperture);

    /// The next vGPU whose window has taken on what was asked, with neither PENDING nor
    /// OUTSTANDING set.
    fn poll_aperture(&mut self) -> Option<Gfid>;
}

/// The guest's view of channels, time and interrupts.
pub trait Routes {
    /// Binds a vGPU's doorbell tokens, timer and vectors.
    fn set_route(&mut self, gfid: Gfid, route: &Route);

    /// Opens or closes the way of a vGPU's channels to its peers: other vGPUs' apertures that they
    /// reach over the bus. While it is closed, a channel whose next work, or the rest of whose
    /// copy, goes to a peer waits as for a semaphore, and others go on. It is open at power-on.
    ///
    /// A later call takes the place of an earlier one of which no answer has come.
    fn set_peers(&mut self, gfid: Gfid, open: bool);

    /// The next vGPU for which that is in effect: where the way is closed, no access to a peer is
    /// under way. What an earlier driver asked for is answered to nobody.
    fn poll_peers(&mut self) -> Option<Gfid>;

    /// What was asked for last, whoever did.
    fn are_peers_open(&self, gfid: Gfid) -> bool;

    /// Raises vectors as if the device had; those that are pending already stay so.
    fn inject_vectors(&mut self, gfid: Gfid, vectors: u32);

    /// Vectors that were raised and not yet taken by the host.
    fn pending_vectors(&self, gfid: Gfid) -> u32;

    /// How many interrupts the device has raised for a vGPU id since it came up, wrapping.
    fn interrupts(&self, gfid: Gfid) -> u32;
}
