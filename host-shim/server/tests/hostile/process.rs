//! What the system says of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;

/// A number of `/proc/self/status`, in bytes.
fn status_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

/// Bytes of memory that it really has.
pub(crate) fn resident_bytes() -> u64 {
    status_bytes("VmRSS")
}

/// Descriptors that are open.
pub(crate) fn open_fds() -> usize {
    // That of the folder itself is one of them, each time.
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The same once it stays as it is: a test that has just ended closes what it had by and by.
pub(crate) fn settled_fds() -> usize {
    let mut count = open_fds();
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(20));
        let before = std::mem::replace(&mut count, open_fds());
        if before == count {
            break;
        }
    }
    count
}

/// While this lives the process has no more than so many bytes of addresses above those it has: an
/// allocation that is larger ends it.
pub(crate) struct AddressLimit(Rlimit);

impl AddressLimit {
    pub(crate) fn new(more_bytes: u64) -> Self {
        let was = getrlimit(Resource::As);
        let current = Some(status_bytes("VmSize") + more_bytes);
        setrlimit(Resource::As, Rlimit { current, ..was }).unwrap();
        Self(was)
    }
}

impl Drop for AddressLimit {
    fn drop(&mut self) {
        setrlimit(Resource::As, self.0).unwrap();
    }
}
