//! The state engine: vGPUs, channels, scheduling, save and restore.
