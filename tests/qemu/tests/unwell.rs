//! Firmware that does not work is told of, and not waited for without end.

use godwit::progress::Silent;
use godwit::{Scenario, execute_on};
use godwit_shim::{Mcu, QemuBoard, QemuMcu};
use godwit_sys::ImageFile;
use std::path::Path;
use std::sync::Arc;

const SCENARIO: &str = include_str!("scenarios/moves.toml");

/// Why there is no run with this file as the image.
fn end(image: &[u8]) -> String {
    let image = Arc::new(ImageFile::from_bytes(image).unwrap());
    let board = QemuBoard::named("qemu-virt-rv64").unwrap();
    let mcu = Mcu::Qemu(QemuMcu::new(board, image));
    let folder = tempfile::tempdir().unwrap();
    let scenario = Scenario::parse(Path::new("test.toml"), SCENARIO, folder.path(), None).unwrap();
    execute_on(&scenario, &mcu, &mut Silent).unwrap_err().to_string()
}

#[test]
fn the_end_of_qemu_is_told_in_its_own_words() {
    let said = end(b"");
    assert!(said.contains("the firmware's microcontroller is gone: QEMU has ended"), "{said}");
    assert!(said.contains("qemu-system-riscv64: could not load kernel"), "{said}");
}

#[test]
fn an_image_that_does_nothing_is_not_waited_for_without_end() {
    // Another core's: it runs into what this one does not know, before it can say so. QEMU loads
    // such a file as it is, so no more of it than there is room for in front of the window.
    let image = godwit_images::image("mps2-an386").unwrap();
    let said = end(&image[..image.len().min(0x1_0000)]);
    assert!(said.contains("the firmware does not start; seen last: 0 turns"), "{said}");
}
