//! vGPUs as vfio-user devices.
#![forbid(unsafe_code)]
mod config_space;
mod irqs;
