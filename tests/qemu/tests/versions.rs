//! Whoever meets another version than it knows says so, and nothing is lost by it.

use godwit_mmio::Words as _;
use godwit_pump::PROTOCOL_VERSION;
use godwit_qemu::{
    Rig, image_that_does_not_ask, image_that_forgets, image_that_retains, image_that_speaks, mcu,
};
use godwit_regs::Word;
use godwit_regs::bits::MAP_VERSION;
use godwit_regs::map::{identity, mailbox};
use godwit_shim::{Mcu, QemuBoard, QemuMcu};
use godwit_sys::ImageFile;
use godwit_wire::retained;
use std::path::Path;
use std::sync::Arc;

const NEWER: u32 = PROTOCOL_VERSION + 1;
/// Its image does not look at the host's version, as earlier firmware did not: the host must.
const OLDER: u32 = PROTOCOL_VERSION - 1;

fn image(version: u32) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    match version {
        OLDER => image_that_does_not_ask(version, folder),
        _ => image_that_speaks(version, folder),
    }
}

/// Why there is no host with this image.
fn refused(image: &[u8]) -> String {
    let image = Arc::new(ImageFile::from_bytes(image).unwrap());
    let board = QemuBoard::named("qemu-virt-rv64").unwrap();
    Rig::new(&Mcu::Qemu(QemuMcu::new(board, image))).unwrap_err().to_string()
}

fn sentence(firmware: u32, who: &str) -> String {
    sentence_of(firmware, PROTOCOL_VERSION, who)
}

fn sentence_of(firmware: u32, host: u32, who: &str) -> String {
    format!(
        "the firmware speaks version {firmware} of the mailbox's protocol and this host version \
         {host}: the {who} is too old"
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

/// A host whose firmware is restarted while a word says another version, and when it says again
/// what it said.
///
/// `again`: how it is tried again then.
fn restarted_beside(word: Word, version: u32, other: u32, why: &str, again: impl FnOnce(&mut Rig)) {
    let mut rig = Rig::new(&mcu("qemu-virt-rv64")).unwrap();
    let mut work = rig.short_work().unwrap();
    work.submit(&mut rig.host).unwrap();
    rig.pass(20_000);
    rig.host.card().words().publish(word, other);
    rig.host.restart_firmware();
    rig.pass(20_000);
    assert!(rig.host.card().is_lost());
    for (_, loss) in rig.host.card().losses() {
        assert_eq!(loss.cause.name(), "version");
        assert!(loss.to_string().contains(why), "{loss}");
    }
    // It was refused before anything was taken over: with the version that it knows all goes on.
    rig.host.card().words().publish(word, version);
    again(&mut rig);
    assert!(!rig.host.card().is_lost());
    rig.finish(&work).unwrap();
    work.submit(&mut rig.host).unwrap();
    rig.finish(&work).unwrap();
}

#[test]
fn firmware_refuses_a_host_and_a_device_of_another_version_whenever_it_starts() {
    let (word, version) = (mailbox::host_version(), PROTOCOL_VERSION);
    let why = sentence_of(version, OLDER, "host");
    restarted_beside(word, version, OLDER, &why, |rig| rig.host.restart_firmware());
    // An update is another chance as well.
    restarted_beside(word, version, OLDER, &why, |rig| {
        let image = godwit_images::image("qemu-virt-rv64").unwrap();
        rig.host.update_firmware(image).unwrap();
    });
    let (word, version) = (identity::version(), MAP_VERSION);
    let why = format!(
        "the device's registers have version {}, and this firmware knows {version};",
        version + 1
    );
    restarted_beside(word, version, version + 1, &why, |rig| rig.host.restart_firmware());
}
