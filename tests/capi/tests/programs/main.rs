//! The C programs: compiled with all warnings against what is installed, and run under valgrind,
//! where no error is and no byte is lost.

#![forbid(unsafe_code)]

mod bench;
mod hostile;
mod refusals;
mod windows;

use bench::{Bench, succeeds};
// The library is built because it is a dependency.
use godwit_capi as _;
use std::process::Command;

const DRIVER: [&str; 2] = ["driver.c", "guest.c"];
/// What the driver says of its way.
const STEPS: [&str; 6] = [
    "2 vGPUs",
    "before the move: ",
    "round 4",
    "the vGPU runs",
    "both results are right",
    "done at",
];
const WRONG: [&str; 7] = [
    "wrong.c",
    "wrong_handles.c",
    "wrong_vgpu.c",
    "wrong_files.c",
    "wrong_folders.c",
    "wrong_threads.c",
    "wrong_window.c",
];

#[test]
fn the_driver_moves_a_vgpu_without_an_error_or_a_leak() {
    let bench = Bench::new();
    let program = bench.shared("driver", &DRIVER);
    let told = bench.checked(&program, &[&bench.job(), &bench.path("driver.state")]);
    for step in STEPS {
        assert!(told.contains(step), "{step} is missing:\n{told}");
    }
}

#[test]
fn the_static_library_does_the_same() {
    let bench = Bench::new();
    let mut libraries = bench.flags(&["--libs", "--static"]);
    for library in &mut libraries {
        if library == "-lgodwit" {
            *library = "-l:libgodwit.a".to_owned();
        }
    }
    let program = bench.compile("driver", &DRIVER, &[], &libraries);
    let told =
        succeeds(Command::new(&program).arg(bench.job()).arg(bench.path("driver.state")), "libc6");
    assert!(told.contains("done at"), "{told}");
}

#[test]
fn every_wrong_argument_is_an_error_and_no_more() {
    let bench = Bench::new();
    let program = bench.shared("wrong", &WRONG);
    let told = bench.checked(&program, &[bench.folder.path()]);
    assert!(told.ends_with(" 0 failures\n"), "{told}");
    refusals::are_all(&told);
}

#[test]
fn an_abuse_names_the_vgpu_that_did_it() {
    let bench = Bench::new();
    let program = bench.shared("abuse", &["abuse.c", "guest.c"]);
    let told = bench.checked(&program, &[]);
    assert_eq!(told, "both were named\n");
}

#[test]
fn the_shared_library_shows_its_functions_with_a_version_and_nothing_else() {
    let bench = Bench::new();
    let library = bench.installed.lib().join("libgodwit.so");
    let dynamic = succeeds(Command::new("readelf").arg("-dW").arg(&library), "binutils");
    assert!(dynamic.contains("Library soname: [libgodwit.so.0]"), "{dynamic}");
    let symbols = succeeds(
        Command::new("nm").args(["-D", "--defined-only", "--with-symbol-versions"]).arg(&library),
        "binutils",
    );
    for line in symbols.lines() {
        let name = line.rsplit(' ').next().unwrap_or_default();
        let is_own = name.starts_with("godwit_") && name.ends_with("@@GODWIT_0");
        assert!(is_own || name.starts_with("GODWIT_0"), "{line}");
    }
}
