//! What the guest's kernel unpacks and starts: busybox, the module that hands the vGPU to a
//! program, and the program.

use anyhow::{Context as _, Result};
use cpio::{NewcBuilder, write_cpio};
use godwit_vm_env::VmEnv;
use std::fs;
use std::io::Cursor;
use std::path::Path;

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/godwit-vm-guest"));

/// The first program. What it says goes to the console; when it ends the machine is switched off.
const INIT: &str = "#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod $module; done
mode=$($b sed -n 's/.*godwit.mode=\\([a-z]*\\).*/\\1/p' /proc/cmdline)
round_ms=$($b sed -n 's/.*godwit.round_ms=\\([0-9]*\\).*/\\1/p' /proc/cmdline)
echo ready: $mode
[ $mode = idle ] && $b sleep 1000000
/bin/godwit-vm-guest $mode $round_ms
$b poweroff -f
";

const FOLDER: u32 = 0o040_755;
const PROGRAM_MODE: u32 = 0o100_755;

fn named(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// The archive.
pub(crate) fn initramfs(env: &VmEnv) -> Result<Vec<u8>> {
    let mut files: Vec<(String, u32, Vec<u8>)> = ["bin", "dev", "modules", "proc", "sys"]
        .map(|name| (name.to_owned(), FOLDER, Vec::new()))
        .into();
    files.push(("init".to_owned(), PROGRAM_MODE, INIT.as_bytes().to_vec()));
    files.push(("bin/busybox".to_owned(), PROGRAM_MODE, named(&env.busybox())?));
    files.push(("bin/godwit-vm-guest".to_owned(), PROGRAM_MODE, PROGRAM.to_vec()));
    // The kernel's own comes before the one that needs it.
    for (number, path) in env.modules().iter().enumerate() {
        files.push((format!("modules/{number}.ko"), PROGRAM_MODE, named(path)?));
    }
    let entries = files.into_iter().zip(1..).map(|((name, mode, bytes), inode)| {
        (NewcBuilder::new(&name).ino(inode).mode(mode), Cursor::new(bytes))
    });
    Ok(write_cpio(entries, Vec::new())?)
}
