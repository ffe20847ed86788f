//! What a server does not do: each is told with what to do, and ends with 1.

use crate::serving::{CONFIG, Serving, text};
use snapbox::{assert_data_eq, file};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Who may ask, and who may not. Nobody else has these numbers.
const ALLOWED: u32 = 65_533;
const REFUSED: u32 = 65_534;

#[test]
fn what_does_not_fit() {
    let serving = Serving::start();
    let told = serving.transcript(&[
        "create v1 --profile GW256-128Q --host b",
        "migrate v0 --to b",
        "create v2 --profile GW256-64Q --host a --placement 5",
        "create v2 --profile GW256-64Q --host a --placement 32",
        "create v2 --profile GW256-128Q --host a --placement 16",
        "policy a --sizes homogeneous",
        "policy b --sizes homogeneous",
        "migrate v0 --to b",
        "migrate w0 --to a --host b",
        "create v3 --profile GW256-128Q",
    ]);
    assert_data_eq!(told, file!["transcripts/fitting.txt"]);
}

#[test]
fn what_cannot_be_resumed_or_suspended() {
    let serving = Serving::start();
    let mut told = serving.transcript(&[
        "suspend v0 --file ../v0",
        "suspend v0 --file ''",
        "suspend v0 --file monday",
        "resume ../monday",
        "resume monday --vgpu w0",
        "resume monday --vgpu ../v0",
        "resume monday --host z",
        "create v1 --profile GW256-256Q --host a",
        "create v2 --profile GW256-128Q --host b",
        "resume monday --host a",
        "resume monday",
        "destroy v2",
    ]);
    let sizes = |sizes: &str| {
        assert!(serving.ctl(&format!("policy b --sizes {sizes}")).status.success());
    };
    sizes("homogeneous");
    told += &serving.transcript(&["resume monday --host b", "resume monday"]);
    sizes("mixed");
    told += &serving.transcript(&["resume monday"]);
    assert_data_eq!(told, file!["transcripts/resuming.txt"]);
}

#[test]
fn states_without_a_folder() {
    let config = CONFIG.replace("states = \"states\"\n", "");
    let serving = Serving::start_with(&config, |_| {});
    let told = serving.transcript(&["suspend v0", "resume v0", "list"]);
    assert_data_eq!(told, file!["transcripts/stateless.txt"]);
}

/// A line as on a terminal, said by another user. `None`: only root may be somebody else.
fn said_by(user: u32, serving: &Serving, connect: &str, line: &str) -> Option<String> {
    // Others may not enter the folder where it was built.
    let command = serving.path().with_file_name("open").join("godwit");
    let output = Command::new(command)
        .args(["ctl", "--connect", connect])
        .args(line.split(' '))
        .current_dir(serving.path().with_file_name("open"))
        .uid(user)
        .gid(user)
        .output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            println!("this is not root, which could be another user: not all is tested");
            return None;
        }
        output => output.unwrap(),
    };
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let status = output.status.code().unwrap();
    Some(format!("$ godwit ctl {line}\n{out}{err}[exit status {status}]\n\n"))
}

/// A folder that all may enter, with the command in it.
fn open(base: &Path) {
    let folder = base.join("open");
    fs::create_dir(&folder).unwrap();
    for folder in [base, &folder] {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    let command = Path::new(env!("CARGO_BIN_EXE_godwit"));
    let at = folder.join("godwit");
    fs::hard_link(command, &at).or_else(|_| fs::copy(command, &at).map(|_| ())).unwrap();
}

#[test]
fn who_may_not_ask() {
    let control = format!("[control]\nusers = [{ALLOWED}]\nsocket = \"open/ctl\"\n");
    let serving = Serving::start_with(&format!("{CONFIG}\n{control}"), open);
    let line = "share v0 --weight 3 --json";
    let Some(allowed) = said_by(ALLOWED, &serving, "unix:ctl", line) else { return };
    assert!(allowed.ends_with("[exit status 0]\n\n"), "{allowed}");
    let mut told = String::new();
    for line in ["list", "destroy v0", "events --follow", "list --json"] {
        told += &said_by(REFUSED, &serving, "unix:ctl", line).unwrap();
    }
    // Who may ask there may not enter the folder of the vGPUs' sockets.
    let closed = format!("unix:{}", serving.path().join("ctl").display());
    told += &said_by(ALLOWED, &serving, &closed, "list").unwrap();
    assert_data_eq!(told.replace(&closed, "CLOSED"), file!["transcripts/forbidden.txt"]);
    // All is as it was.
    let output = Command::new(env!("CARGO_BIN_EXE_godwit"))
        .args(["ctl", "--connect", "unix:open/ctl", "show", "v0", "--json"])
        .current_dir(serving.path().parent().unwrap())
        .output()
        .unwrap();
    assert!(text(&output.stdout).contains("\"weight\":3"), "{output:?}");
}
