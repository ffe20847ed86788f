//! Firmware that does not work is told of, and not waited for without end.

use godwit_qemu::{mcu, outcome};
use godwit_shim::{Mcu, QemuBoard, QemuMcu};
use godwit_sys::ImageFile;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const SCENARIO: &str = "[[host]]\nname = \"a\"\nframebuffer = \"32 MiB\"\n";

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
fn an_image_for_another_core_is_told_of_in_qemus_words() {
    let said = end(godwit_images::image("qemu-virt-rv32").unwrap());
    assert!(said.starts_with("the firmware's microcontroller is gone: QEMU has ended"), "{said}");
    assert!(said.contains("qemu-system-riscv64: "), "{said}");
}

#[test]
fn a_host_without_vgpus_comes_up() {
    let folder = tempfile::tempdir().unwrap();
    let text = outcome(SCENARIO, folder.path(), &mcu("qemu-virt-rv64"));
    assert!(text.ends_with("verified: true []\n"), "{text}");
}
