//! Firmware that ends by itself leaves a record, is restarted, and no vGPU is lost by it.

use godwit::progress::Silent;
use godwit::{Scenario, execute_on};
use godwit_qemu::{mcu, outcome};
use godwit_shim::{Mcu, QemuBoard};
use std::path::Path;

const SCENARIO: &str = include_str!("crashes.toml");
const EXPECTED: &str = include_str!("crashes.out");

fn outcome_on(mcu: &Mcu) -> String {
    let folder = tempfile::tempdir().unwrap();
    outcome(SCENARIO, folder.path(), mcu)
}

#[test]
fn firmware_in_the_hosts_process_is_restarted_and_no_vgpu_is_lost() {
    assert_eq!(outcome_on(&Mcu::Native), EXPECTED);
}

#[test]
fn on_every_board_each_end_is_told_by_its_cause_and_no_vgpu_is_lost() {
    for board in QemuBoard::ALL {
        let name = board.board().name;
        assert_eq!(outcome_on(&mcu(name)), EXPECTED, "{name}");
    }
}

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
