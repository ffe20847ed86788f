//! Whole runs of small scenarios: every kernel is moved in every way, and what is not right
//! is found.

use godwit::progress::Silent;
use godwit::report::{Kind, Report, Stopped};
use godwit::{Scenario, execute};
use std::fmt::Write as _;
use std::path::Path;

/// Two hosts; `one` on the first has the job, and a neighbour runs beside it on each.
const HOSTS: &str = r#"
seed = 11
time_limit = "2 s"

[[host]]
name = "alpha"
framebuffer = "64 MiB"

[[host]]
name = "beta"
framebuffer = "64 MiB"
timer_start = "5 s"

[[vgpu]]
name = "beside"
host = "alpha"
profile = { framebuffer = "8 MiB", channels = 2, threads = 16 }

[[vgpu]]
name = "one"
host = "alpha"
profile = { framebuffer = "16 MiB", aperture = "8 MiB", channels = 4, threads = 64 }

[[vgpu]]
name = "across"
host = "beta"
profile = { framebuffer = "8 MiB", channels = 3, threads = 16 }

[[job]]
name = "beside"
vgpu = "beside"
kernel = "sha256_chain"
threads = 8
block = 8
iterations = 60

[[job]]
name = "across"
vgpu = "across"
kernel = "sha256_chain"
threads = 8
block = 8
iterations = 60
"#;

/// Kernels with sizes that keep them busy for some milliseconds, and many blocks each.
const KERNELS: [(&str, &str); 4] = [
    ("sha256_chain", "threads = 64\nblock = 4\niterations = 10"),
    ("matmul", "n = 48\ntile = 4"),
    ("histogram", "bytes = \"16 KiB\"\nthreads = 64\nblock = 4\nrounds = 4"),
    ("spinner", "threads = 4"),
];

/// The instruction at which something happens to the job: in the middle of every kernel.
const MIDDLE: u64 = 700_000;

fn scenario(kernel: &str, events: &str) -> String {
    let (_, sizes) = KERNELS.iter().find(|(name, _)| *name == kernel).unwrap();
    format!(
        "{HOSTS}\n[[job]]\nname = \"job\"\nvgpu = \"one\"\nkernel = \"{kernel}\"\n{sizes}\n{events}"
    )
}

fn run_in(folder: &Path, text: &str, seed: Option<u64>) -> Report {
    let scenario = Scenario::parse(Path::new("test.toml"), text, folder, seed);
    let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
    execute(&scenario, &mut Silent).unwrap()
}

fn run(text: &str) -> Report {
    run_in(tempfile::tempdir().unwrap().path(), text, None)
}

fn verified(report: &Report) {
    assert!(report.verified && report.problems.is_empty(), "{}", report.json());
}

fn moved(report: &Report, kind: Kind) {
    verified(report);
    let [it] = report.moves.as_slice() else { panic!("{}", report.json()) };
    let (old, new) = (it.old.unwrap(), it.new.unwrap());
    assert_eq!((it.kind, it.outcome.as_str()), (kind, "moved"));
    assert_eq!((it.from.as_str(), it.to.as_str()), ("alpha", "beta"));
    assert_ne!(old.partition_base, new.partition_base);
    assert_ne!(old.bar_base, new.bar_base);
    assert_ne!(old.channel_base, new.channel_base);
    assert_eq!(it.rounds > 0, kind == Kind::Live, "{it:?}");
    assert!(it.bytes.state > 0 && it.total_ns > 0, "{it:?}");
}

fn move_event(kind: &str, preempt: &str, more: &str) -> String {
    let mut event = format!("[[event]]\nafter = {{ job = \"job\", instructions = {MIDDLE} }}\n");
    write!(event, "move = {{ vgpu = \"one\", to = \"beta\", kind = \"{kind}\", ").unwrap();
    writeln!(event, "preempt = \"{preempt}\", timeout = \"40 ms\" }}\n{more}").unwrap();
    event
}

/// Moves a kernel; those that never come to a boundary are refused.
fn check_moves(kernel: &str, preempts: [&str; 2]) {
    for preempt in preempts {
        for (name, kind) in [("live", Kind::Live), ("stop-and-copy", Kind::StopAndCopy)] {
            println!("{kernel} {preempt} {name}"); // shown only when the test fails
            let endless = kernel == "spinner" && ["cta", "wfi"].contains(&preempt);
            let expect = if endless { "expect = \"refused\"" } else { "" };
            let report = run(&scenario(kernel, &move_event(name, preempt, expect)));
            if endless {
                verified(&report);
                assert!(report.moves[0].outcome.starts_with("refused"), "{:?}", report.moves);
                assert_eq!(report.moves[0].new, None);
            } else {
                moved(&report, kind);
            }
        }
    }
}

#[test]
fn every_kernel_moves_between_two_instructions() {
    KERNELS.iter().for_each(|(kernel, _)| check_moves(kernel, ["instruction", "escalate"]));
}

#[test]
fn every_kernel_but_the_spinner_moves_at_coarser_boundaries() {
    KERNELS.iter().for_each(|(kernel, _)| check_moves(kernel, ["cta", "wfi"]));
}

const SUSPEND: &str = r#"
[[event]]
after = { job = "job", instructions = 700_000 }
suspend = { vgpu = "one", file = "one.state" }

[[event]]
at = "0 ns" # so at once when it is in the file
resume = { vgpu = "one", file = "one.state", host = "beta" }
"#;

#[test]
fn every_kernel_goes_on_after_a_suspend() {
    for (kernel, _) in KERNELS {
        println!("{kernel}");
        let folder = tempfile::tempdir().unwrap();
        let report = run_in(folder.path(), &scenario(kernel, SUSPEND), None);
        verified(&report);
        let [suspend, resume] = report.moves.as_slice() else { panic!("{report:?}") };
        assert_eq!((suspend.from.as_str(), suspend.to.as_str()), ("alpha", "one.state"));
        assert_eq!((resume.from.as_str(), resume.to.as_str()), ("one.state", "beta"));
        assert_eq!((suspend.kind, resume.kind), (Kind::Suspend, Kind::Resume));
        let found = godwit::inspect::inspect(&folder.path().join("one.state"), None).unwrap();
        assert!(found.sound, "{}", found.human());
    }
}

#[test]
fn a_file_is_one_whatever_it_is_called_and_serves_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let again = SUSPEND.replace("700_000", "900_000").replace("beta", "alpha");
    let text = scenario("matmul", &(SUSPEND.to_owned() + &again));
    let text = text.replacen("file = \"one.state\", host", "file = \"sub/../one.state\", host", 1);
    for _ in 0..2 {
        let report = run_in(folder.path(), &text, None);
        verified(&report);
        assert_eq!(report.moves[1].from, "sub/../one.state");
    }
}

#[test]
fn a_file_that_holds_another_vgpu_then_is_not_written() {
    // In the order of the scenario the file is free by then, in time it is not.
    let events = "[[event]]\nat = \"3 ms\"\nsuspend = { vgpu = \"one\", file = \"a.state\" }\n\
                  [[event]]\nat = \"4 ms\"\n\
                  resume = { file = \"a.state\", host = \"beta\" }\n\
                  [[event]]\nat = \"1 ms\"\nsuspend = { vgpu = \"beside\", file = \"a.state\" }\n\
                  [[event]]\nat = \"9 ms\"\n\
                  resume = { file = \"a.state\", host = \"beta\" }\n";
    let report = run(&scenario("matmul", events));
    assert_eq!(
        problems(&report)[0],
        "suspend of `one` to `a.state`: refused: another vGPU is in this file; it was expected to \
         be done"
    );
    assert!(report.jobs.iter().all(|job| job.ok), "{report:?}");
}

#[test]
fn a_state_file_that_is_cut_or_changed_is_unsound() {
    let folder = tempfile::tempdir().unwrap();
    verified(&run_in(folder.path(), &scenario("matmul", SUSPEND), None));
    let (state, broken) = (folder.path().join("one.state"), folder.path().join("broken.state"));
    let good = std::fs::read(&state).unwrap();
    let is_sound = |bytes: &[u8]| {
        std::fs::write(&broken, bytes).unwrap();
        godwit::inspect::inspect(&broken, None).unwrap().sound
    };
    assert!(is_sound(&good));
    let step = good.len() / 100;
    for at in (0..good.len()).step_by(step).chain(0..32).chain([good.len() - 1]) {
        assert!(!is_sound(&good[..at]), "cut at {at}");
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(!is_sound(&bytes), "changed at {at}");
    }
    assert!(!is_sound(&[good.as_slice(), &[0]].concat()), "longer");
}

#[test]
fn one_seed_gives_one_result_wherever_it_is_run() {
    let suspend = SUSPEND.replace("700_000", "900_000").replace("0 ns", "20 ms");
    let back = suspend.replace("host = \"beta\"", "host = \"alpha\"");
    let text = scenario("histogram", &(move_event("live", "instruction", "") + &back));
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = run_in(here.path(), &text, None);
    verified(&first);
    assert_eq!(first.moves.len(), 3);
    assert_eq!(first.json(), run_in(there.path(), &text, None).json());
    assert_eq!(first.json(), run_in(there.path(), &text, Some(11)).json());
    let other = run_in(there.path(), &text, Some(12));
    verified(&other);
    assert_ne!(first.json(), other.json());
    let digests = |report: &Report| {
        report.jobs.iter().map(|job| job.digest.clone().unwrap()).collect::<Vec<_>>()
    };
    assert!(digests(&first).iter().zip(digests(&other)).all(|(one, two)| *one != two));
}

#[test]
fn a_run_holds_at_a_tenth_and_at_ten_times_the_costs() {
    let text = scenario("matmul", &move_event("live", "instruction", ""));
    for scale in ["1/10", "10/1"] {
        let report = run(&format!("costs_scale = \"{scale}\"\n{text}"));
        moved(&report, Kind::Live);
        assert!(report.costs.iter().all(|cost| cost.source.starts_with(scale)), "{report:?}");
    }
}

/// A job of one's own: the chain of hashes, given by file, with its output's digest.
fn own(folder: &Path, expected: &str) -> String {
    let job = godwit_kernels::Job::sha256_chain(3, 8, 4, 5);
    let [(at, seeds)] = job.inputs.as_slice() else { panic!("one input") };
    std::fs::write(folder.join("chain.elf"), job.elf).unwrap();
    std::fs::write(folder.join("seeds.bin"), seeds).unwrap();
    std::fs::write(folder.join("right.bin"), &job.expected).unwrap();
    let (args, output) = (&job.args, job.output.clone());
    let bytes = output.end - output.start;
    format!(
        "{HOSTS}\n[[job]]\nname = \"job\"\nvgpu = \"one\"\nelf = \"chain.elf\"\ngrid = 2\n\
         block = 4\nargs = {args:?}\ninputs = [{{ file = \"seeds.bin\", at = {at} }}]\n\
         output = {{ at = {}, bytes = {bytes} }}\n{expected}\n{}",
        output.start,
        move_event("live", "instruction", "").replace("700000", "70000"),
    )
}

#[test]
fn a_program_of_ones_own_is_moved_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let text = own(folder.path(), "expected = { file = \"right.bin\" }");
    moved(&run_in(folder.path(), &text, None), Kind::Live);
}

#[test]
fn the_example_of_the_description_is_verified() {
    let text = include_str!("../SCENARIO.md");
    let example = text.split("```toml").nth(1).and_then(|rest| rest.split("```").next());
    moved(&run(example.unwrap()), Kind::Live);
}

#[test]
fn the_example_of_shares_is_verified_and_has_its_parts() {
    let text = include_str!("../SCENARIO.md");
    let example = text.split("```toml").nth(2).and_then(|rest| rest.split("```").next());
    let report = run(example.unwrap());
    verified(&report);
    // Nobody uses the rest, so the cap is what it has.
    assert!((report.shares[0].compute_percent - 50.0).abs() < 2.0, "{}", report.json());
}

fn problems(report: &Report) -> Vec<&str> {
    assert!(!report.verified);
    report.problems.iter().map(String::as_str).collect()
}

#[test]
fn other_bytes_than_expected_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = format!("expected = {{ sha256 = \"{}\" }}", "0".repeat(64));
    let report = run_in(folder.path(), &own(folder.path(), &wrong), None);
    assert_eq!(problems(&report), ["job `job`: its output is wrong"]);
    let job = &report.jobs[2];
    assert!(!job.ok && job.digest.is_some() && job.digest != job.expected, "{job:?}");
}

#[test]
fn an_output_that_nobody_can_judge_is_not_verified() {
    let folder = tempfile::tempdir().unwrap();
    let report = run_in(folder.path(), &own(folder.path(), ""), None);
    assert_eq!(problems(&report), ["job `job`: nobody said what its output must be"]);
}

#[test]
fn an_event_that_ends_otherwise_than_expected_is_a_problem() {
    let report = run(&scenario("spinner", &move_event("live", "wfi", "")));
    let [problem] = problems(&report)[..] else { panic!("{:?}", report.problems) };
    assert!(problem.starts_with("move of `one` to `beta`: refused"), "{problem}");
    assert!(problem.ends_with("it was expected to be done"), "{problem}");
    let report =
        run(&scenario("matmul", &move_event("live", "instruction", "expect = \"failed\"")));
    assert_eq!(problems(&report), ["move of `one` to `beta`: moved; it was expected to fail"]);
}

#[test]
fn a_job_that_stays_in_a_file_is_not_verified() {
    let suspend = SUSPEND.split("[[event]]").nth(1).unwrap();
    let report = run(&scenario("matmul", &format!("[[event]]{suspend}")));
    assert_eq!(problems(&report), ["job `job`: it has not ended, since its vGPU is in a file"]);
}

#[test]
fn an_event_that_comes_too_late_is_a_problem() {
    let late = move_event("live", "instruction", "").replace("700000", "700000000");
    let report = run(&scenario("matmul", &late));
    let [problem] = problems(&report)[..] else { panic!("{:?}", report.problems) };
    let expected = "move of `one` to `beta`: it waited for instruction 700000000 of `job`";
    assert!(problem.starts_with(expected), "{problem}");
}

#[test]
fn a_move_that_comes_at_the_end_of_a_job_does_not_say_that_it_was_in_the_middle() {
    let job = |report: &Report| report.jobs[2].instructions;
    let in_the_middle = |report: &Report| {
        verified(report);
        report.moves[0].stopped.as_ref().is_some_and(Stopped::is_in_the_middle)
    };
    let middle = move_event("live", "instruction", "");
    let report = run(&scenario("matmul", &middle));
    assert!(in_the_middle(&report), "{report:?}");
    let late = middle.replace("700000", &(job(&report) - 88).to_string());
    let report = run(&scenario("matmul", &late));
    assert!(!in_the_middle(&report), "{report:?}");
}

#[test]
fn a_run_ends_at_its_limit() {
    let text = scenario("sha256_chain", "").replace("\"2 s\"", "\"1 ms\"");
    let report = run(&text);
    assert_eq!(problems(&report)[0], "the run was not over after 1 ms of virtual time");
}

#[test]
fn a_copy_that_fails_leaves_the_vgpu_where_it_was() {
    let failing = move_event("stop-and-copy", "instruction", "expect = \"failed\"");
    let report = run(&scenario("histogram", &(copy_error_in_time() + &failing)));
    verified(&report);
    assert!(report.moves[0].outcome.starts_with("failed"), "{:?}", report.moves);
    assert_eq!(report.moves[0].new, None);
}

const HANG: &str = "[[event]]\nat = \"90 ms\"\n\
                    fault = { host = \"alpha\", kind = \"engine-hang\", engine = \"compute\" }\n";
const RESTART: &str = "[[event]]\nat = \"91 ms\"\nrestart_firmware = { host = \"beta\" }\n";
/// After the last job's end.
const COPY_ERROR: &str =
    "[[event]]\nat = \"90 ms\"\nfault = { host = \"alpha\", kind = \"copy-error\" }\n";

/// At the instruction of a move that comes after it in the scenario.
fn copy_error_in_time() -> String {
    let after = format!("after = {{ job = \"job\", instructions = {MIDDLE} }}");
    COPY_ERROR.replace("at = \"90 ms\"", &after)
}

#[test]
fn a_run_goes_on_until_every_event_has_happened() {
    // Long after every job has ended.
    let text = scenario("matmul", &format!("{RESTART}{HANG}expect = \"unmet\"\n"));
    verified(&run(&text));
    let report = run(&text.replace("\"2 s\"", "\"80 ms\""));
    let lines: Vec<usize> = ["restart_firmware", "engine-hang"]
        .map(|what| text[..=text.find(what).unwrap()].lines().count() - 2)
        .into();
    assert_eq!(
        problems(&report),
        [
            "the run was not over after 80 ms of virtual time".to_owned(),
            format!(
                "restart of the firmware of `beta` (line {}): it did not happen, or did not end",
                lines[0]
            ),
            format!(
                "fault on `alpha`: EngineHang(RunlistId(0)) (line {}): it did not happen, \
                 or did not end",
                lines[1]
            ),
        ]
    );
}

#[test]
fn a_fault_that_meets_nothing_is_a_problem_unless_it_is_to() {
    let never = |report: &Report| {
        let [problem] = problems(report)[..] else { panic!("{:?}", report.problems) };
        assert!(problem.starts_with("fault on `"), "{problem}");
        assert!(problem.ends_with("): it never took effect"), "{problem}");
    };
    never(&run(&scenario("matmul", HANG)));
    never(&run(&scenario("matmul", COPY_ERROR)));
    verified(&run(&scenario("matmul", &format!("{COPY_ERROR}expect = \"unmet\"\n"))));
    // One of two that are alike meets a copy of the move's.
    let in_time = copy_error_in_time();
    let failing = move_event("stop-and-copy", "instruction", "expect = \"failed\"");
    let report = run(&scenario("matmul", &format!("{COPY_ERROR}{in_time}{failing}")));
    never(&report);
    let line = scenario("matmul", "").lines().count() + 1;
    assert!(report.problems[0].contains(&format!("(line {line})")), "{:?}", report.problems);
}

#[test]
fn a_fault_that_is_to_meet_nothing_and_does_is_a_problem() {
    let failing = move_event("stop-and-copy", "instruction", "expect = \"failed\"");
    let fault = copy_error_in_time() + "expect = \"unmet\"\n";
    let report = run(&scenario("matmul", &format!("{fault}{failing}")));
    let [problem] = problems(&report)[..] else { panic!("{:?}", report.problems) };
    assert!(
        problem.ends_with("it has taken effect, and was expected to meet nothing"),
        "{problem}"
    );
}

#[test]
fn what_never_ends_goes_on_until_a_fault_has_met_it() {
    let late = HANG.replace("engine-hang", "ack-doubled");
    let other = "[[vgpu]]\nname = \"two\"\nhost = \"alpha\"\n\
                 profile = { framebuffer = \"8 MiB\", channels = 2, threads = 16 }\n\
                 [[job]]\nname = \"spin\"\nvgpu = \"two\"\nkernel = \"spinner\"\nthreads = 2\n";
    verified(&run(&scenario("spinner", &format!("{other}{late}"))));
}

#[test]
fn firmware_may_restart_under_everything() {
    let restart = "[[event]]\nat = \"2 ms\"\nrestart_firmware = { host = \"alpha\" }\n";
    verified(&run(&scenario("matmul", restart)));
}

#[test]
fn jobs_of_one_vgpu_run_one_after_the_other() {
    let second = "[[job]]\nname = \"second\"\nvgpu = \"one\"\nkernel = \"histogram\"\n\
                  bytes = \"16 KiB\"\nthreads = 64\nblock = 4\nrounds = 4\n";
    let event = move_event("live", "instruction", "").replace("\"job\"", "\"second\"");
    moved(&run(&scenario("matmul", &(second.to_owned() + &event))), Kind::Live);
}

#[test]
fn lists_of_copies_go_through_guest_memory_while_their_vgpu_moves() {
    let mut text = HOSTS.to_owned();
    for (name, through) in [("near", "framebuffer"), ("far", "guest-memory")] {
        writeln!(text, "[[job]]\nname = \"{name}\"\nvgpu = \"one\"").unwrap();
        writeln!(text, "copies = \"{through}\"\nrounds = 200").unwrap();
    }
    for (at, to) in [(1, "beta"), (3, "alpha"), (6, "beta")] {
        writeln!(text, "[[event]]\nat = \"{at} ms\"").unwrap();
        writeln!(text, "move = {{ vgpu = \"one\", to = \"{to}\", kind = \"live\" }}").unwrap();
    }
    let report = run(&text);
    verified(&report);
    for name in ["near", "far"] {
        let job = report.jobs.iter().find(|job| job.name == name).unwrap();
        assert!(job.ok && job.digest.is_some() && job.digest == job.expected, "{job:?}");
    }
}
