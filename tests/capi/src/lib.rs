//! The C ABI as C programs use it.
