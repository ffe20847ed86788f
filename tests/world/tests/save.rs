//! Goal: `cargo xtask bench save` can be run, and has a figure for all that it measures.
//! Method: the least that it takes, once. How fast this machine is, no test asserts.

use serde_json::Value;
use std::process::Command;

#[test]
fn a_benchmark_of_a_save_has_all_its_figures() {
    let output = Command::new(env!("CARGO_BIN_EXE_save"))
        .args(["--bytes", "67108864", "--rounds", "1", "--json"])
        .output()
        .unwrap();
    // 1: a part is slower than its bar, which says nothing of a build without optimisation.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let figures: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let parts: Vec<_> = figures.iter().map(|it| it["part"].as_str().unwrap()).collect();
    let all = ["memcpy", "pipe", "save", "save-to-pipe", "restore", "restore-from-pipe"];
    assert_eq!(parts, all);
    for it in &figures {
        for figure in ["min_ms", "median_ms", "gb_per_s", "of_memcpy", "of_pipe"] {
            assert!(it[figure].as_f64().unwrap() > 0.0, "{it}");
        }
    }
}

#[test]
fn what_a_benchmark_of_a_save_does_not_take_is_refused_with_what_it_does() {
    for (words, allowed) in [
        (["--bytes", "1000"], "`--bytes` takes whole MiB, 67108864 to 17179869184"),
        (["--rounds", "0"], "`--rounds` takes 1 to 1000"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_save")).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(allowed), "{output:?}");
    }
}
