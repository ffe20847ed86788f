//! Firmware that ends by itself leaves a record, is restarted, and no vGPU is lost by it.

use godwit::progress::Silent;
use godwit::{Scenario, execute_on};
use godwit_qemu::mcu;
use std::path::Path;

const SCENARIO: &str = include_str!("scenarios/crashes.toml");

#[test]
fn a_loss_is_told_with_the_registers_and_the_last_events() {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new("test.toml");
    let scenario = Scenario::parse(path, SCENARIO, folder.path(), None).unwrap();
    let report = execute_on(&scenario, &mcu("qemu-virt-rv64"), &mut Silent).unwrap();
    let told: Vec<_> = report.firmware_losses.iter().filter(|loss| loss.cause != "cut").collect();
    assert_eq!(told.len(), 6, "a trap, a hang and a stack overflow of each host");
    for loss in told {
        // Code and stack of this board are in the first MiB of its RAM.
        assert!(loss.told.contains(" at 0x8000"), "{}", loss.told);
        assert!(loss.told.contains(", sp 0x800f"), "{}", loss.told);
        assert!(loss.told.contains("godwit_engine::"), "{}", loss.told);
    }
}
