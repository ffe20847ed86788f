//! Goal: a machine boots from the folder, says what it has, and ends by itself; what it lacks is
//! named. Method: machines without a vGPU, which need nothing but the folder.

#![forbid(unsafe_code)]

use godwit_vm::{BOOT, Mode, Vm, VmOptions};
use godwit_vm_env::VmEnv;
use std::fs;
use std::path::Path;

fn machine(folder: &Path, mode: Mode) -> Vm {
    let env = VmEnv::find().unwrap();
    let options = VmOptions {
        name: "machine".to_owned(),
        folder: folder.to_owned(),
        device: None,
        incoming: false,
        mode,
        is_unusual: false,
    };
    Vm::start(&env, &options).unwrap()
}

#[test]
fn a_guest_says_that_it_is_ready_and_its_sockets_go_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut vm = machine(folder.path(), Mode::Idle);
    // The firmware's codes for a terminal come before it on the same line.
    vm.await_line(BOOT, |line| line.ends_with("ready: idle").then_some(())).unwrap();
    assert!(!vm.has_ended(), "{}", vm.said());
    assert!(vm.qmp().exists());
    drop(vm);
    let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["initramfs"], "what others need is left");
}

#[test]
fn a_guest_without_a_vgpu_says_so_and_is_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut vm = machine(folder.path(), Mode::Bench);
    let failed = vm.await_line(BOOT, |line| line.contains("\"failed\"").then(|| line.to_owned()));
    println!("{}", failed.unwrap());
    vm.await_end(BOOT).unwrap();
}
