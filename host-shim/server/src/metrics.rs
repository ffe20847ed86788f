//! `/metrics`, for Prometheus: what the control socket tells of hosts and vGPUs, in the text format
//! that every version of it reads (0.0.4), over HTTP.
//!
//! A name is made as those of dcgm-exporter are, so that whoever knows these finds their way:
//! `GODWIT_FI_DEV_…` is how something is, `GODWIT_FI_PROF_…` what was measured of engines. Behind
//! it, in small letters, is what Prometheus asks for: the unit, and `total` of a count that never
//! goes back. Units are the base units, seconds and bytes, where DCGM's framebuffer is in MiB: a
//! number says what it is without a look at the manual, and graphs scale it. A count begins anew
//! with the server, and where a vGPU has come to another host.
//!
//! All have the labels `gpu`, the number of the host in the order of the server's, and `host`, its
//! name. Those of a vGPU also have `vgpu`, its name, `UUID`, its own id, which it keeps wherever it
//! goes, and `gfid`, the GPU's number of it; those of an engine have `engine`. What DCGM's
//! `Hostname` says is in Prometheus's own `instance`.
//!
//! | of a host | unit | what it is |
//! |---|---|---|
//! | `GODWIT_FI_DEV_FB_TOTAL_bytes`, `GODWIT_FI_DEV_FB_FREE_bytes`, `GODWIT_FI_DEV_FB_USED_bytes` | bytes | framebuffer for vGPUs |
//! | `GODWIT_FI_DEV_FB_FREE_PIECE_bytes` | bytes | its largest free piece |
//! | `GODWIT_FI_DEV_BAR_TOTAL_bytes`, `GODWIT_FI_DEV_BAR_FREE_bytes` | bytes | BAR for apertures |
//! | `GODWIT_FI_DEV_CHANNELS`, `GODWIT_FI_DEV_CHANNELS_FREE` | | hardware channels |
//! | `GODWIT_FI_DEV_VGPU_IDS`, `GODWIT_FI_DEV_VGPU_IDS_FREE` | | ids of vGPUs |
//! | `GODWIT_FI_DEV_SCHED_SLICE_seconds` | seconds | a turn of average length |
//! | `GODWIT_FI_DEV_FIRMWARE_LOSSES_total` | | times that the firmware ended by itself |
//! | `GODWIT_FI_DEV_FIRMWARE_LOST` | 0, 1 | it is given up |
//! | `GODWIT_FI_DEV_FIRMWARE_LOG_LOST_bytes_total` | bytes | what of its log was overwritten before it was read |
//! | `GODWIT_FI_DEV_SWITCHES_LOST_total` | | switches that slices and preemptions do not have |
//! | `GODWIT_FI_DEV_VGPUS_CAME_total`, `GODWIT_FI_DEV_VGPUS_GONE_total` | | vGPUs that have come and gone |
//! | `GODWIT_FI_DEV_MOVES_FAILED_total` | | moves from here that did not come to pass |
//!
//! | of a vGPU | unit | what it is |
//! |---|---|---|
//! | `GODWIT_FI_DEV_VGPU_info` | 1 | its `profile`, a label |
//! | `GODWIT_FI_DEV_VGPU_STATE` | 1 | its `state` of a migration, a label, as `vfio.h` names it |
//! | `GODWIT_FI_DEV_VGPU_FB_bytes`, `GODWIT_FI_DEV_VGPU_APERTURE_bytes` | bytes | its framebuffer, its BAR2 |
//! | `GODWIT_FI_DEV_VGPU_CHANNELS` | | its channels |
//! | `GODWIT_FI_DEV_VGPU_ATTACHED`, `GODWIT_FI_DEV_VGPU_MANAGED` | 0, 1 | a machine, a migration manager is connected |
//! | `GODWIT_FI_DEV_VGPU_WEIGHT`, `GODWIT_FI_DEV_VGPU_PART_ratio`, `GODWIT_FI_DEV_VGPU_CAP_ratio` | 0 to 1 but for the weight | what it is due of the engines; no part and no cap where they are the default |
//! | `GODWIT_FI_DEV_VGPU_FAULTS_total`, `GODWIT_FI_DEV_VGPU_ABUSES_total` | | channels that faulted; things that were too many |
//! | `GODWIT_FI_DEV_VGPU_MOVES_total`, `GODWIT_FI_DEV_VGPU_MOVES_FAILED_total` | | its moves, suspends and resumes |
//! | `GODWIT_FI_DEV_VGPU_DIRTY_bytes_per_second` | bytes/s | what it wrote between the rounds of its last move |
//! | `GODWIT_FI_DEV_VGPU_BLACKOUT_seconds` | seconds, a histogram | how long it stood still in its moves |
//! | `GODWIT_FI_PROF_SLICE_seconds` | seconds, a histogram | how long it had an engine |
//! | `GODWIT_FI_PROF_PREEMPTION_seconds` | seconds, a histogram | how long it took to let go of one |
//!
//! | of a vGPU and an engine | unit | what it is |
//! |---|---|---|
//! | `GODWIT_FI_PROF_ENGINE_ACTIVE_ratio` | 0 to 1 | its part of the engine in the last second or so, as DCGM's `GR_ENGINE_ACTIVE` |
//! | `GODWIT_FI_PROF_ENGINE_BUSY_seconds_total` | seconds | how long it had it |
//! | `GODWIT_FI_PROF_ENGINE_SWITCHES_total` | | how often it has left it |
//! | `GODWIT_FI_PROF_ENGINE_DEBT_seconds` | seconds | what it had had too much when it last left it |
//!
//! | of the server, without labels | unit | what it is |
//! |---|---|---|
//! | `GODWIT_FI_SERVER_CONTROL_CLIENTS` | | clients of the control socket |
//! | `GODWIT_FI_SERVER_REFUSED_total` | | questions and clients that it has refused |
//! | `GODWIT_FI_SERVER_EVENTS_total` | | events that it has told |
//!
//! The server's loop answers, so what is told is what was so at one moment, and what the control
//! socket says then. It waits for nobody: a question has a bound in bytes and a client one in time,
//! there are few at once, and who comes when there is no place has that of who was there longest.
//! Who keeps connecting keeps out others who read metrics, and nobody else.

mod exporter;
mod family;
mod http;
mod render;
#[cfg(test)]
mod tests;

pub(crate) use exporter::Exporter;
pub(crate) use render::{ServerCounts, render};
