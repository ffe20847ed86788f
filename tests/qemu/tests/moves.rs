//! The image does what the same firmware does in the host's process.

use godwit_qemu::{mcu, outcome};
use godwit_shim::{Mcu, QemuBoard};

const SCENARIO: &str = include_str!("moves.toml");
const EXPECTED: &str = include_str!("moves.out");

fn outcome_on(mcu: &Mcu) -> String {
    let folder = tempfile::tempdir().unwrap();
    outcome(SCENARIO, folder.path(), mcu)
}

#[test]
fn firmware_in_the_hosts_process_does_what_is_expected() {
    assert_eq!(outcome_on(&Mcu::Native), EXPECTED);
}

#[test]
fn every_board_does_what_is_expected() {
    for board in QemuBoard::ALL {
        let name = board.board().name;
        assert_eq!(outcome_on(&mcu(name)), EXPECTED, "{name}");
    }
}
