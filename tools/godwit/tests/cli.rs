//! The command itself: what it prints where, and its exit status.

use snapbox::cmd::{Command, cargo_bin};
use snapbox::{IntoData as _, file, str};
use std::fs;

fn godwit() -> Command {
    // No colours and no wrapping to somebody's terminal.
    Command::new(cargo_bin!("godwit")).env("NO_COLOR", "1").env("COLUMNS", "100")
}

#[test]
fn help_names_the_commands_and_the_exit_statuses() {
    godwit().arg("--help").assert().success().stdout_eq(file!["cli/help.txt"].raw());
    godwit().args(["run", "--help"]).assert().success().stdout_eq(file!["cli/run.txt"].raw());
    godwit().args(["demo", "--help"]).assert().success().stdout_eq(file!["cli/demo.txt"].raw());
}

#[test]
fn the_demo_can_be_printed_to_start_from() {
    godwit().args(["demo", "--print"]).assert().success().stdout_eq(godwit::DEMO).stderr_eq("");
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    godwit().assert().code(2).stdout_eq("");
    godwit().args(["run", "a.toml", "--sed", "7"]).assert().code(2).stdout_eq("");
    godwit().args(["run", "a.toml", "--seed", "x"]).assert().code(2).stdout_eq("");
}

#[test]
fn a_log_of_firmware_that_writes_none_is_refused() {
    godwit().args(["demo", "--log"]).assert().code(2).stdout_eq("").stderr_eq(
        "error: --log needs --mcu qemu: only the image writes a log; in this process the firmware \
         is built without one\n",
    );
}

#[test]
fn a_mistaken_scenario_ends_with_2_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), "[[host]]\nfirmware = \"qemu\"\n").unwrap();
    let run = godwit().current_dir(folder.path()).args(["run", "a.toml"]);
    run.assert().code(2).stdout_eq("").stderr_eq(
        str![[r#"
a.toml:2:12: unknown value `qemu`; allowed: `native`
  |
2 | firmware = "qemu"
  |            ^^^^^^

"#]]
        .raw(),
    );
}

#[test]
fn a_file_that_is_no_state_is_shown_as_unsound() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.state"), "no state at all, and longer than a header").unwrap();
    let inspect = |file| godwit().current_dir(folder.path()).args(["inspect", "--json", file]);
    inspect("a.state").assert().code(1).stdout_eq(
        str![[r#"
{
  "sealed": null,
  "spent": null,
  "version": 0,
  "records": [],
  "sound": false,
  "problem": "the file is no state file, or one of a build from before their format was final"
}

"#]]
        .raw(),
    );
    inspect("none.state").assert().code(2).stdout_eq("").stderr_eq(
        str![[r#"
error: none.state: No such file or directory (os error 2); name a file that a suspend has written

"#]]
        .raw(),
    );
}

#[test]
fn what_cannot_be_reached_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let job = godwit_kernels::Job::sha256_chain(3, 8, 4, 5);
    fs::write(folder.path().join("chain.elf"), job.elf).unwrap();
    fs::write(folder.path().join("seeds.bin"), &job.inputs[0].1).unwrap();
    fs::write(folder.path().join("a.toml"), scenario(&"0".repeat(64))).unwrap();
    for (words, what) in [
        (
            "send a.toml --vgpu v --to unix:link --after 10 --patience 0",
            "start `godwit receive` there",
        ),
        ("receive a.toml --host a --listen unix:link --patience 0", "start `godwit send`"),
        ("vm-suspend saved --qmp no.qmp --vgpu no.mig", "a `godwit serve` that runs"),
    ] {
        let command = godwit().current_dir(folder.path());
        let output = command.args(words.split(' ')).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words}: {told}");
        assert!(told.contains(what), "{words}: {told}");
    }
}

/// A small scenario, with the digest that its output must have.
fn scenario(digest: &str) -> String {
    let job = godwit_kernels::Job::sha256_chain(3, 8, 4, 5);
    format!(
        "[[host]]\nname = \"a\"\nframebuffer = \"32 MiB\"\n\n\
         [[vgpu]]\nname = \"v\"\nhost = \"a\"\nprofile = {{ framebuffer = \"16 MiB\" }}\n\n\
         [[job]]\nname = \"j\"\nvgpu = \"v\"\nelf = \"chain.elf\"\ngrid = 2\nblock = 4\n\
         args = {:?}\ninputs = [{{ file = \"seeds.bin\", at = {} }}]\n\
         output = {{ at = {}, bytes = 256 }}\nexpected = {{ sha256 = \"{digest}\" }}\n",
        job.args, job.inputs[0].0, job.output.start
    )
}

#[test]
fn the_exit_status_says_whether_all_was_verified() {
    let folder = tempfile::tempdir().unwrap();
    let job = godwit_kernels::Job::sha256_chain(3, 8, 4, 5);
    fs::write(folder.path().join("chain.elf"), job.elf).unwrap();
    fs::write(folder.path().join("seeds.bin"), &job.inputs[0].1).unwrap();
    let run = |digest: &str| {
        fs::write(folder.path().join("a.toml"), scenario(digest)).unwrap();
        let command = godwit().current_dir(folder.path());
        let output = command.args(["run", "a.toml", "--json"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), json)
    };
    let (status, json) = run(&"0".repeat(64));
    assert_eq!((status, &json["verified"]), (Some(1), &false.into()));
    assert_eq!(json["problems"], serde_json::json!(["job `j`: its output is wrong"]));
    let digest = json["jobs"][0]["digest"].as_str().unwrap().to_owned();
    let (status, json) = run(&digest);
    assert_eq!((status, &json["verified"]), (Some(0), &true.into()));
    let human = godwit().current_dir(folder.path()).args(["run", "a.toml"]).output().unwrap();
    let last = "verified: the job's bytes are right, and every event ended as expected (seed 0)\n";
    assert!(String::from_utf8(human.stdout).unwrap().ends_with(last));
}
