//! How long things may be.

/// Bytes of a line of a client, without its end.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a name of a vGPU, a host or a state file.
pub const NAME_BYTES_MAX: usize = 32;

/// Whether this may be the name of a vGPU, a host or a state file: 1 to [`NAME_BYTES_MAX`]
/// letters, digits, `-` and `_`.
pub fn is_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fine)
}
