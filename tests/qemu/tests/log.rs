//! The firmware's log, as the host decodes it while the image runs.

use godwit_log::{Kind, LogLine};
use godwit_qemu::{json, json_and_log, logging_mcu, mcu};

const SCENARIO: &str = include_str!("scenarios/moves.toml");
const BOARD: &str = "qemu-virt-rv64";

/// What one host's firmware has said, without times.
fn said(log: &[(String, LogLine)], host: &str) -> Vec<String> {
    let of_host = log.iter().filter(|(name, _)| name == host);
    of_host.map(|(_, line)| format!("{} {}: {}", line.level, line.module, line.text)).collect()
}

/// That these changes of a vGPU's phase are there, in this order and with nothing between them
/// that is of the same vGPU.
fn passes(said: &[String], gfid: &str, phases: &[&str]) {
    let prefix = format!("INFO godwit_engine::vgpu: {gfid}: ");
    let changes: Vec<&str> = said.iter().filter_map(|line| line.strip_prefix(&prefix)).collect();
    let wanted: Vec<String> =
        phases.windows(2).map(|pair| format!("{} -> {}", pair[0], pair[1])).collect();
    assert!(
        changes.windows(wanted.len()).any(|window| window == wanted),
        "not {wanted:?} in {changes:?}"
    );
}

#[test]
fn two_runs_are_the_same_with_and_without_a_reader_and_the_log_tells_of_the_moves() {
    let run = || {
        let folder = tempfile::tempdir().unwrap();
        json_and_log(SCENARIO, folder.path(), &logging_mcu(BOARD))
    };
    let (report, log) = run();
    assert_eq!((report.clone(), log.clone()), run());
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(report, json(SCENARIO, folder.path(), &mcu(BOARD)), "reading changes nothing");

    assert!(log.iter().all(|(_, line)| line.kind == Kind::Said), "{log:?}");
    for host in ["alpha", "beta"] {
        let times: Vec<u64> = log
            .iter()
            .filter(|(name, _)| name == host)
            .map(|(_, line)| line.timestamp_ns)
            .collect();
        assert!(times.is_sorted() && times.last() >= Some(&20_000_000), "{host}: {times:?}");
    }
    let (source, destination) = (said(&log, "alpha"), said(&log, "beta"));
    // The one that moves, from its making to its end.
    let start = ["Absent", "Creating", "Stopped", "Starting", "Running"];
    let stop =
        ["Running", "Stopping(Engines)", "Stopping(Aperture)", "Stopping(Vectors)", "Stopped"];
    let release = [
        "Stopped",
        "Releasing(Drain)",
        "Releasing(Aperture)",
        "Releasing(Channels)",
        "Releasing(Scrub)",
        "Releasing(Partition)",
        "Absent",
    ];
    passes(&source, "Gfid(1)", &[&start[..], &stop[1..], &release[1..]].concat());
    // And the one that is suspended: a file is between.
    passes(&source, "Gfid(2)", &[&stop[..], &release[1..]].concat());
    passes(&destination, "Gfid(2)", &["Stopped", "Resuming", "Stopped", "Starting", "Running"]);
    let saves = "DEBUG godwit_engine::save: Gfid(1): Between -> Records";
    assert!(source.iter().any(|line| line == saves), "{source:?}");
    for (host, said) in [("alpha", source), ("beta", destination)] {
        let starts = said.iter().filter(|line| line.starts_with("INFO godwit_pump::boot: started"));
        assert_eq!(starts.count(), 2, "{host} is restarted once");
    }
}
