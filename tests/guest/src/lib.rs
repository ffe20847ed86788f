//! The guest side: loads kernels and rings doorbells.
