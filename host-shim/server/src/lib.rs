//! vGPUs as vfio-user devices, for virtual machines (QEMU holds `<vgpu>.sock`) and for those who
//! migrate them (`<vgpu>.mig`).
//!
//! ```text
//!  QEMU ─── <vgpu>.sock ──▶ Device ──▶ MigrationDevice ──▶ Host ── card
//!   ▲                        │  ▲
//!   │◀── DMA_READ, eventfds ─┘  └── <vgpu>.mig ─── migration manager
//!   └──── BAR2, mapped ────────────────────────────▶ the vGPU's partition
//! ```
//!
//! One thread serves all ([`Server::run`]), and waits for none: a client that is slow, or breaks
//! the protocol, harms itself. The card's time follows time.
//!
//! A client may ask for everything in every state of a migration, since QEMU does not know of them.
//! When it goes, its windows of guest memory and its interrupts go with it, and the vGPU stays as
//! it is. The next one gets the vGPU's memory in a new file, so that nobody sees it through an old
//! mapping.

#![forbid(unsafe_code)]

mod client;
mod config;
mod config_space;
mod connection;
mod control;
mod cut;
mod device;
mod events;
mod host;
mod irqs;
mod memory;
mod metrics;
mod migration;
mod notes;
mod operation;
mod pace;
mod peer;
mod refusal;
mod regions;
mod server;
mod socket;
mod stats;
mod table;
mod wire;

pub use client::{Client, ClientError, Memory};
pub use config::{
    ConfigError, ControlConfig, HostConfig, MetricsConfig, Places, ServerConfig, VgpuConfig,
    control_socket, device_socket, migration_socket,
};
pub use device::{Device, Who};
pub use server::{Server, ServerError};
