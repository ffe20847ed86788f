//! Files that somebody else has opened: a descriptor is lent, and the file is opened anew through
//! it, so that its lock and its place are this program's own.

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) read: bool,
    pub(super) write: bool,
}

/// Opens the file of a descriptor anew. What its owner may not do with it is not done either.
pub(super) fn reopen(lent: &File, access: Access) -> io::Result<File> {
    let flags = fcntl_getfl(lent)?;
    let mode = flags & OFlags::RWMODE;
    let may_read = mode != OFlags::WRONLY && !flags.contains(OFlags::PATH);
    let may_write = mode != OFlags::RDONLY;
    if (access.read && !may_read) || (access.write && !may_write) {
        // As a read or a write of it would say.
        return Err(Errno::BADF.into());
    }
    // To open a pipe would wait for its other end.
    if !lent.metadata()?.is_file() {
        return Err(not_plain());
    }
    let path = format!("/proc/self/fd/{}", lent.as_raw_fd());
    File::options().read(access.read).write(access.write).open(path)
}

/// Why nothing else than a file is used.
pub(super) fn not_plain() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file")
}
