//! Firmware that does not work is told of, and not waited for without end.

use godwit_qemu::outcome;
use godwit_shim::{Mcu, QemuBoard, QemuMcu};
use godwit_sys::ImageFile;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const SCENARIO: &str = include_str!("moves.toml");

/// How a run with this file as the image ends.
fn end(image: &[u8]) -> String {
    let image = Arc::new(ImageFile::from_bytes(image).unwrap());
    let board = QemuBoard::named("qemu-virt-rv64").unwrap();
    let mcu = Mcu::Qemu(QemuMcu::new(board, image));
    let folder = tempfile::tempdir().unwrap();
    let run = AssertUnwindSafe(|| outcome(SCENARIO, folder.path(), &mcu));
    *catch_unwind(run).unwrap_err().downcast::<String>().expect("a message")
}

#[test]
fn the_end_of_qemu_is_told_in_its_own_words() {
    let said = end(b"");
    assert!(said.starts_with("the firmware's microcontroller is gone: QEMU has ended"), "{said}");
    assert!(said.contains("qemu-system-riscv64: could not load kernel"), "{said}");
}

#[test]
fn an_image_that_does_nothing_is_not_waited_for_without_end() {
    // Another core's: it runs into what this one does not know, before it can say so. QEMU loads
    // such a file as it is, so no more of it than there is room for in front of the window.
    let image = godwit_images::image("mps2-an386").unwrap();
    let said = end(&image[..image.len().min(0x1_0000)]);
    assert!(said.starts_with("the firmware does not start; seen last: 0 turns"), "{said}");
}
