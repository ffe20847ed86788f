//! Whoever meets another version than it knows says so, and nothing is lost by it.

use godwit_pump::PROTOCOL_VERSION;
use godwit_qemu::{Rig, image_that_forgets, image_that_retains, image_that_speaks, mcu};
use godwit_shim::{Mcu, QemuBoard, QemuMcu};
use godwit_sys::ImageFile;
use godwit_wire::retained;
use std::path::Path;
use std::sync::Arc;

const NEWER: u32 = PROTOCOL_VERSION + 1;
/// Before the first version there is none, and firmware that speaks that says nothing of itself.
const OLDER: u32 = PROTOCOL_VERSION - 1;

fn image(version: u32) -> Vec<u8> {
    image_that_speaks(version, Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// Why there is no host with this image.
fn refused(image: &[u8]) -> String {
    let image = Arc::new(ImageFile::from_bytes(image).unwrap());
    let board = QemuBoard::named("qemu-virt-rv64").unwrap();
    Rig::new(&Mcu::Qemu(QemuMcu::new(board, image))).unwrap_err().to_string()
}

fn sentence(firmware: u32, who: &str) -> String {
    format!(
        "the firmware speaks version {firmware} of the mailbox's protocol and this host version \
         {PROTOCOL_VERSION}: the {who} is too old"
    )
}

#[test]
fn an_image_of_another_version_is_refused_at_start_and_the_older_side_is_named() {
    assert_eq!(refused(&image(NEWER)), sentence(NEWER, "host"));
    assert_eq!(refused(&image(OLDER)), sentence(OLDER, "firmware"));
}

#[test]
fn an_update_to_another_version_is_taken_back_and_work_goes_on() {
    let mut rig = Rig::new(&mcu("qemu-virt-rv64")).unwrap();
    let mut work = rig.short_work().unwrap();
    for (version, who) in [(NEWER, "host"), (OLDER, "firmware")] {
        let error = rig.host.update_firmware(&image(version)).unwrap_err();
        assert_eq!(error.to_string(), sentence(version, who));
        work.submit(&mut rig.host).unwrap();
        rig.finish(&work).unwrap();
    }
    // With the same number it is an image like any other: nothing else was changed.
    rig.host.update_firmware(&image(PROTOCOL_VERSION)).unwrap();
    work.submit(&mut rig.host).unwrap();
    rig.finish(&work).unwrap();
}

#[test]
fn an_update_that_does_not_read_what_is_retained_is_taken_back_and_work_goes_on() {
    let mut rig = Rig::new(&mcu("qemu-virt-rv64")).unwrap();
    let mut work = rig.short_work().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let other = image_that_retains(retained::VERSION + 1, folder);
    work.submit(&mut rig.host).unwrap();
    rig.pass(20_000);
    let error = rig.host.update_firmware(&other).unwrap_err().to_string();
    let (found, known) = (retained::VERSION, retained::VERSION + 1);
    let why = format!("the retained record has version {found}, and this firmware reads {known};");
    assert!(error.contains(&why), "{error}");
    // What was under way ends, and so does what comes after it.
    rig.finish(&work).unwrap();
    work.submit(&mut rig.host).unwrap();
    rig.finish(&work).unwrap();
    assert_eq!(rig.host.card().losses().len(), 0);
}

#[test]
fn an_update_that_does_not_take_over_a_vgpu_is_taken_back_and_the_vgpu_is_there() {
    let mut rig = Rig::new(&mcu("qemu-virt-rv64")).unwrap();
    let mut work = rig.short_work().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let other = image_that_forgets(retained::VERSION + 1, folder);
    let error = rig.host.update_firmware(&other).unwrap_err().to_string();
    assert_eq!(error, "the firmware does not take over vGPU 1");
    work.submit(&mut rig.host).unwrap();
    rig.finish(&work).unwrap();
    assert_eq!(rig.host.card().losses().len(), 0);
}
