//! One run, and what of it must be the same wherever the firmware runs.

use godwit::progress::Silent;
use godwit::report::Report;
use godwit::{Scenario, execute_on};
use godwit_shim::{Mcu, QemuBoard, QemuMcu};
use godwit_sys::ImageFile;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

/// A board with its image.
///
/// # Panics
///
/// When there is none.
pub fn mcu(board: &str) -> Mcu {
    let elf = godwit_images::image(board).expect("an image for every board is built");
    let image = ImageFile::from_bytes(elf).expect("the system gives a memory file");
    let board = QemuBoard::named(board).expect("QEMU emulates every board");
    Mcu::Qemu(QemuMcu::new(board, Arc::new(image)))
}

/// Runs a scenario; its state files go into `folder`.
fn report(scenario: &str, folder: &Path, mcu: &Mcu) -> Report {
    let scenario = match Scenario::parse(Path::new("test.toml"), scenario, folder, None) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{error}"),
    };
    match execute_on(&scenario, mcu, &mut Silent) {
        Ok(report) => report,
        Err(error) => panic!("{error}"),
    }
}

/// Everything that a run reports.
pub fn json(scenario: &str, folder: &Path, mcu: &Mcu) -> String {
    report(scenario, folder, mcu).json()
}

/// What a run reports besides times, which follow from the instructions of the firmware.
///
/// # Panics
///
/// When the scenario has a mistake or cannot be set up.
pub fn outcome(scenario: &str, folder: &Path, mcu: &Mcu) -> String {
    let report = report(scenario, folder, mcu);
    let mut text = String::new();
    for one in &report.moves {
        let _ = writeln!(text, "{:?} of {}: {}", one.kind, one.vgpu, one.outcome);
    }
    for job in &report.jobs {
        let _ = writeln!(text, "{}: {} {:?}", job.name, job.ok, job.digest);
    }
    for loss in &report.firmware_losses {
        let _ = writeln!(text, "firmware of {}: {}", loss.host, loss.cause);
    }
    let _ = writeln!(text, "verified: {} {:?}", report.verified, report.problems);
    text
}
