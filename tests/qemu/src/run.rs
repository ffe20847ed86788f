//! One run, and what of it must be the same wherever the firmware runs.

use godwit::progress::{JobState, Progress, Silent};
use godwit::report::{Move, Report};
use godwit::{Scenario, execute_on};
use godwit_log::{LogLine, LogReader};
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
    Mcu::Qemu(qemu(board, elf(board)))
}

/// The same, and its log is read.
///
/// # Panics
///
/// When there is none.
pub fn logging_mcu(board: &str) -> Mcu {
    let elf = elf(board);
    let reader = LogReader::new(elf).expect("every image has a log");
    Mcu::Qemu(qemu(board, elf).with_log(reader))
}

fn elf(board: &str) -> &'static [u8] {
    godwit_images::image(board).expect("an image for every board is built")
}

fn qemu(board: &str, elf: &[u8]) -> QemuMcu {
    let image = ImageFile::from_bytes(elf).expect("the system gives a memory file");
    let board = QemuBoard::named(board).expect("QEMU emulates every board");
    QemuMcu::new(board, Arc::new(image))
}

/// Keeps what the firmware of every host logs.
#[derive(Debug, Default)]
struct Kept(Vec<(String, LogLine)>);

impl Progress for Kept {
    fn job(&mut self, _: usize, _: u64, _: JobState) {}

    fn event(&mut self, _: usize, _: &str) {}

    fn log(&mut self, host: &str, line: &LogLine) {
        self.0.push((host.to_owned(), line.clone()));
    }
}

/// Runs a scenario; its state files go into `folder`.
fn report(scenario: &str, folder: &Path, mcu: &Mcu, progress: &mut dyn Progress) -> Report {
    let scenario = match Scenario::parse(Path::new("test.toml"), scenario, folder, None) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{error}"),
    };
    match execute_on(&scenario, mcu, progress) {
        Ok(report) => report,
        Err(error) => panic!("{error}"),
    }
}

/// Everything that a run reports.
pub fn json(scenario: &str, folder: &Path, mcu: &Mcu) -> String {
    report(scenario, folder, mcu, &mut Silent).json()
}

/// Everything that a run reports, and the lines of the log with their hosts.
pub fn json_and_log(scenario: &str, folder: &Path, mcu: &Mcu) -> (String, Vec<(String, LogLine)>) {
    let mut kept = Kept::default();
    let json = report(scenario, folder, mcu, &mut kept).json();
    (json, kept.0)
}

/// What a run reports besides times, which follow from the instructions of the firmware.
///
/// # Panics
///
/// When the scenario has a mistake or cannot be set up.
pub fn outcome(scenario: &str, folder: &Path, mcu: &Mcu) -> String {
    told(&report(scenario, folder, mcu, &mut Silent))
}

/// The same, and the lines of the log with their hosts.
///
/// # Panics
///
/// As [`outcome`].
pub fn outcome_and_log(
    scenario: &str,
    folder: &Path,
    mcu: &Mcu,
) -> (String, Vec<(String, LogLine)>) {
    let mut kept = Kept::default();
    let text = told(&report(scenario, folder, mcu, &mut kept));
    (text, kept.0)
}

fn told(report: &Report) -> String {
    let mut text = String::new();
    let told = |it: &Move| format!("{:?} of {}: {}\n", it.kind, it.vgpu, it.outcome);
    let mut moves: Vec<_> = report.moves.iter().map(told).collect();
    // Which of several ends first is a matter of times.
    moves.sort();
    text.extend(moves);
    for job in &report.jobs {
        let _ = writeln!(text, "{}: {} {:?}", job.name, job.ok, job.digest);
    }
    for loss in &report.firmware_losses {
        let _ = writeln!(text, "firmware of {}: {}", loss.host, loss.cause);
    }
    let _ = writeln!(text, "verified: {} {:?}", report.verified, report.problems);
    text
}
