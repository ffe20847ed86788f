//! Shim and image agree on a version of the protocol, or say which of them is too old.

use godwit_pump::PROTOCOL_VERSION;
use godwit_qemu::{Rig, image_that_speaks, mcu};
use godwit_shim::{Mcu, QemuBoard, QemuMcu};
use godwit_sys::ImageFile;
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
