//! The calls. Each does what its comment says: here it is checked what it is given.
//!
//! # POINTERS
//!
//! Memory belongs to the caller: the library reads and writes it during the call only, and keeps
//! no pointer. Where a call is given a pointer, as much as it says must lie there, and no other
//! thread may change it meanwhile. A null pointer and one that is not aligned are errors; that
//! what is behind any other one can be reached is the caller's word.

mod device;
mod dma;
mod file;
mod guest;
mod migration;
mod vgpu;

pub use device::{
    godwit_close, godwit_last_error, godwit_next_event, godwit_now, godwit_open, godwit_run,
    godwit_set_limits, godwit_set_scheduling, godwit_version,
};
pub use dma::{
    godwit_vgpu_dma_log_report, godwit_vgpu_dma_log_start, godwit_vgpu_dma_log_stop,
    godwit_vgpu_dma_map, godwit_vgpu_dma_unmap,
};
pub use file::{
    godwit_vgpu_resume, godwit_vgpu_resume_fd, godwit_vgpu_suspend, godwit_vgpu_suspend_fd,
};
pub use guest::{
    godwit_vgpu_bar0_read, godwit_vgpu_bar0_write, godwit_vgpu_bar2_read, godwit_vgpu_bar2_write,
    godwit_vgpu_take_vectors,
};
pub use migration::{
    godwit_vgpu_data_size, godwit_vgpu_get_state, godwit_vgpu_precopy_info, godwit_vgpu_read,
    godwit_vgpu_reset, godwit_vgpu_set_state, godwit_vgpu_write,
};
pub use vgpu::{
    godwit_vgpu_create, godwit_vgpu_destroy, godwit_vgpu_get_info, godwit_vgpu_list,
    godwit_vgpu_set_share,
};

/// Bytes that go to a card, or come from it, at once.
const CHUNK_BYTES: usize = 1 << 20;
