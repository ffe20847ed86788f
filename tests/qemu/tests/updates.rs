//! The image is replaced while vGPUs run, and one that does not start is taken back.

use godwit_qemu::{mcu, outcome};
use object::{File, Object, ObjectSegment, ObjectSymbol};
use std::fs;

const SCENARIO: &str = include_str!("updates.toml");
const EXPECTED: &str = include_str!("updates.out");

/// The image with an undefined instruction where its loop's function begins: a whole image of
/// this board, and one that ends right after its start-up.
fn stillborn(image: &[u8]) -> Vec<u8> {
    let elf = File::parse(image).unwrap();
    let symbol = elf.symbols().find(|it| it.name().is_ok_and(|name| name.contains("3run3run")));
    let at = symbol.expect("the loop's function").address();
    let segment = elf.segments().find(|it| (it.address()..it.address() + it.size()).contains(&at));
    let segment = segment.expect("its segment");
    let place = (segment.file_range().0 + at - segment.address()) as usize;
    let mut image = image.to_vec();
    image[place..place + 2].fill(0);
    image
}

#[test]
fn an_update_disturbs_no_vgpu_and_one_that_does_not_start_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let image = godwit_images::image("qemu-virt-rv64").unwrap();
    let other = godwit_images::image("qemu-virt-rv32").unwrap();
    let files = [("newer", image), ("stillborn", &stillborn(image)), ("other", other)];
    for (name, image) in files {
        fs::write(folder.path().join(format!("{name}.elf")), image).unwrap();
    }
    assert_eq!(outcome(SCENARIO, folder.path(), &mcu("qemu-virt-rv64")), EXPECTED);
}
