//! The image is replaced while vGPUs run, and one that does not start is taken back.

use godwit_log::{Kind, Level, LogLine};
use godwit_qemu::{image_that_logs, logging_mcu, outcome_and_log};
use object::{File, Object, ObjectSegment, ObjectSymbol};
use std::fs;
use std::path::Path;

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

/// The times of a host's lines that the image before does not have.
fn traced(log: &[(String, LogLine)], host: &str) -> Vec<u64> {
    let of_host = log.iter().filter(|(name, _)| name == host).map(|(_, line)| line);
    of_host.filter(|line| line.level == Level::Trace).map(|line| line.timestamp_ns).collect()
}

#[test]
fn an_update_disturbs_no_vgpu_and_one_that_does_not_start_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let image = godwit_images::image("qemu-virt-rv64").unwrap();
    let other = godwit_images::image("qemu-virt-rv32").unwrap();
    // Other code, which says more than the one before.
    let newer = image_that_logs("trace", Path::new(env!("CARGO_TARGET_TMPDIR")));
    let files = [("newer", &newer[..]), ("stillborn", &stillborn(image)), ("other", other)];
    for (name, image) in files {
        fs::write(folder.path().join(format!("{name}.elf")), image).unwrap();
    }
    let (outcome, log) = outcome_and_log(SCENARIO, folder.path(), &logging_mcu("qemu-virt-rv64"));
    assert_eq!(outcome, EXPECTED);
    assert!(log.iter().all(|(_, line)| line.kind == Kind::Said), "every frame has its text");
    // As the scenario has it.
    for (host, updated_ns) in [("alpha", 1_000_000), ("beta", 4_000_000)] {
        let traced = traced(&log, host);
        assert!(
            traced.iter().all(|ns| *ns >= updated_ns),
            "{host}: the one before says less: {traced:?}"
        );
        // It runs on after the update of alpha that is taken back, and when the move comes.
        let late = traced.iter().filter(|ns| **ns > updated_ns + 2_000_000);
        assert!(late.count() > 10, "{host}: {traced:?}");
    }
}
