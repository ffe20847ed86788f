//! A vGPU as a VFIO device that can be migrated: the eight states of migration v2 and their data
//! sessions, as `include/uapi/linux/vfio.h` has them. Front ends (vfio-user, the C ABI) put this
//! on their wires.
//!
//! ```text
//!   set_state ──▶ arcs ──▶ Saver, Restorer, commands ──▶ Host
//!   read, write ─────────────▶ state stream
//! ```
//!
//! A call returns when what it asks for is so: the card goes on meanwhile.

mod bus;
mod device;
mod errno;
mod resuming;
mod saving;
mod state;

pub use device::MigrationDevice;
pub use errno::MigrationError;
pub use saving::PrecopyInfo;
pub use state::MigrationState;

use crate::host::Host;
use crate::release::Release;
use godwit_types::Gfid;

/// How long a call waits for the card at most, in nanoseconds of the card: longer than all of the
/// firmware's deadlines together.
const PATIENCE_NS: u64 = 30_000_000_000;

/// Lets the card go on until something is so.
fn wait<T>(
    host: &mut Host,
    mut until: impl FnMut(&mut Host) -> Option<T>,
) -> Result<T, MigrationError> {
    let end_ns = host.now_ns().saturating_add(PATIENCE_NS);
    loop {
        host.settle();
        if let Some(found) = until(host) {
            return Ok(found);
        }
        if host.now_ns() >= end_ns || host.card().is_lost() {
            return Err(MigrationError::Late);
        }
        host.go_on();
    }
}

/// Makes a vGPU absent, if there is one.
fn wipe(host: &mut Host, gfid: Gfid) -> Result<(), MigrationError> {
    if host.vgpu(gfid).is_none() {
        return Ok(());
    }
    let mut release = Release::new(host, gfid);
    wait(host, |host| release.step(host).then_some(()))
}
