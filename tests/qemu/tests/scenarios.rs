//! The image does what the same firmware does in the host's process: every `scenarios/NAME.toml`
//! comes out as `scenarios/NAME.out` says, natively and on each board.

use godwit_qemu::{mcu, outcome};
use godwit_shim::{Mcu, QemuBoard};
use std::fs;
use std::path::{Path, PathBuf};

/// The scenarios, with what is expected of each.
fn scenarios() -> Vec<(PathBuf, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let read = |path: &Path| {
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => {
                all.push((path.clone(), read(&path), read(&path.with_extension("out"))));
            }
            Some("out") => assert!(path.with_extension("toml").exists(), "{}", path.display()),
            _ => panic!("{} is neither a scenario nor what is expected of one", path.display()),
        }
    }
    all.sort();
    assert!(all.len() >= 6);
    all
}

fn all_do_what_is_expected(mcu: &Mcu) {
    for (path, scenario, expected) in scenarios() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(outcome(&scenario, folder.path(), mcu), expected, "{}", path.display());
    }
}

#[test]
fn firmware_in_the_hosts_process_does_what_is_expected() {
    all_do_what_is_expected(&Mcu::Native);
}

#[test]
fn every_board_does_what_is_expected() {
    for board in QemuBoard::ALL {
        let name = board.board().name;
        println!("{name}:");
        all_do_what_is_expected(&mcu(name));
    }
}
