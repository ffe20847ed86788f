//! Which QEMU to run.

use std::path::Path;
use std::process::Command;

/// The program.
const PROGRAM: &str = "qemu-system-x86_64";
/// The device that it must have; it is in QEMU since 10.1.
const DEVICE: &str = "vfio-user-pci";
/// The oldest version whose vfio-user is tried here.
const VERSION_MIN: (u32, u32) = (10, 1);

/// Whether the system has a QEMU that will do.
pub(crate) fn system_will_do() -> bool {
    will_do(system)
}

/// The system's QEMU, without arguments.
pub(crate) fn system() -> Command {
    Command::new(PROGRAM)
}

/// The QEMU of a folder, without arguments: the folder's own loader runs it with the folder's own
/// libraries, so that neither root nor a change of the root folder is needed.
pub(crate) fn of_folder(root: &Path) -> Command {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut command = Command::new(root.join("lib64/ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(&libraries);
    command.arg("--argv0").arg(PROGRAM).arg(root.join("usr/bin").join(PROGRAM));
    for data in ["usr/share/qemu", "usr/share/seabios"] {
        command.arg("-L").arg(root.join(data));
    }
    // Else it would look for parts of itself in the system's own folder.
    command.env("QEMU_MODULE_DIR", libraries.join("qemu"));
    command
}

/// Whether a QEMU is new enough and has the device.
pub(crate) fn will_do(qemu: impl Fn() -> Command) -> bool {
    let version = qemu().arg("--version").output();
    let new = version.is_ok_and(|said| {
        let version = version_of(&String::from_utf8_lossy(&said.stdout));
        said.status.success() && version.is_some_and(|version| version >= VERSION_MIN)
    });
    // Of this device alone: a list of all would load every module that the system has.
    let device = || qemu().args(["-device", &format!("{DEVICE},help")]).output();
    new && device().is_ok_and(|said| said.status.success())
}

/// What `--version` says: major and minor.
pub(crate) fn version_of(said: &str) -> Option<(u32, u32)> {
    let (_, rest) = said.split_once("version ")?;
    let mut parts = rest.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_qemu_writes_them() {
        let said = "QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)\nCopyright";
        assert_eq!(version_of(said), Some((11, 1)));
        assert_eq!(version_of("QEMU emulator version 7.2.19"), Some((7, 2)));
        assert_eq!(version_of("another program"), None);
    }

    #[test]
    fn a_program_that_is_missing_or_another_will_not_do() {
        assert!(!will_do(|| Command::new("no-such-qemu")));
        assert!(!will_do(|| Command::new("cat")));
    }
}
