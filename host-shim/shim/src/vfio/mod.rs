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

mod device;
mod errno;
mod state;

pub use device::{MigrationDevice, PrecopyInfo};
pub use errno::MigrationError;
pub use state::MigrationState;
