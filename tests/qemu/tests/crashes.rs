//! Firmware that ends by itself leaves a record, is restarted, and no vGPU is lost by it.

use godwit_qemu::{mcu, outcome};
use godwit_shim::{Mcu, QemuBoard};

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
