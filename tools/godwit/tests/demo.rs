//! Goal: the main job does what it is there for.
//! Method: the built-in scenario, as `godwit demo` runs it, with its own seed and another.

use godwit::progress::Silent;
use godwit::report::{Kind, Move, Report};
use godwit::{DEMO, Scenario, execute};
use std::path::Path;

fn run(seed: Option<u64>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let scenario = Scenario::parse(Path::new("demo.toml"), DEMO, folder.path(), seed);
    execute(&scenario.unwrap_or_else(|error| panic!("{error}")), &mut Silent).unwrap()
}

/// It was stopped in the middle of its job, and that went on elsewhere, with no base the same.
fn check_bases(it: &Move) {
    let (old, new) = (it.old.unwrap(), it.new.unwrap());
    assert_ne!(old.partition_base, new.partition_base, "{it:?}");
    assert_ne!(old.bar_base, new.bar_base, "{it:?}");
    assert_ne!(old.channel_base, new.channel_base, "{it:?}");
}

fn check_stop(it: &Move, job: &str, least: u64) {
    let stopped = it.stopped.as_ref().unwrap_or_else(|| panic!("{it:?}"));
    assert!(stopped.job == job && stopped.is_in_the_middle(), "{it:?}");
    assert!(stopped.instructions >= least, "{it:?}");
}

fn check(report: &Report) {
    assert!(report.verified && report.problems.is_empty(), "{}", report.json());
    let [live, suspend, resume] = report.moves.as_slice() else { panic!("{}", report.json()) };
    assert!(report.moves.iter().all(|it| it.outcome == "moved"), "{:?}", report.moves);

    assert_eq!((live.vgpu.as_str(), live.kind), ("matrix", Kind::Live));
    assert_eq!((live.from.as_str(), live.to.as_str()), ("alpha", "beta"));
    assert!(live.rounds >= 1 && live.bytes.precopy > 0, "{live:?}");
    check_stop(live, "matmul", 30_000_000);
    assert!(live.blackout_ns.is_some_and(|ns| 0 < ns && ns < live.total_ns), "{live:?}");
    check_bases(live);

    assert_eq!((suspend.vgpu.as_str(), suspend.kind), ("bins", Kind::Suspend));
    assert_eq!((suspend.from.as_str(), suspend.to.as_str()), ("alpha", "bins.godwit"));
    check_stop(suspend, "histogram", 40_000_000);
    assert_eq!((resume.vgpu.as_str(), resume.kind), ("bins", Kind::Resume));
    assert_eq!((resume.from.as_str(), resume.to.as_str()), ("bins.godwit", "beta"));
    assert!(resume.blackout_ns.is_some(), "{resume:?}");
    check_bases(resume);

    for job in &report.jobs {
        assert!(job.ok && job.instructions > 0 && job.digest == job.expected, "{job:?}");
    }
    let ends = report.jobs.iter().filter(|job| job.expected.is_some()).count();
    assert_eq!((ends, report.jobs.len()), (5, 6), "the spinner alone never ends");

    for it in &report.neighbours {
        // They share with one vGPU less where it leaves, and one more where it arrives, and the
        // transfer itself takes nothing of their share.
        assert!(it.window_ns >= report.moves[it.transfer].total_ns, "{it:?}");
        let (during, due) = (it.during.instructions_per_ms, it.due.instructions_per_ms);
        assert!(during * 10 >= due * 9, "{it:?}");
    }
    assert!(!report.neighbours.is_empty());

    let shown = report.human(None);
    for what in ["live", " of `matmul`", "suspend", " of `histogram`", "resume"] {
        assert!(shown.contains(what), "{what} is not in {shown}");
    }
    assert!(shown.trim_end().lines().last().unwrap().starts_with("verified: "), "{shown}");
}

#[test]
fn the_demo_moves_a_kernel_in_the_middle_and_all_bytes_are_right() {
    check(&run(None));
}

#[test]
fn the_demo_does_so_with_another_seed() {
    check(&run(Some(7)));
}
