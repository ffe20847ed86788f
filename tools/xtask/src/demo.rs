//! `cargo xtask demo`: from a clean clone to a moving vGPU in one command.

use std::env::consts::EXE_SUFFIX;
use std::process::ExitCode;

use anyhow::Result;
use godwit_regs::window::BOARDS;

use crate::command::{Cmd, passed_on};
use crate::prereq::{self, Prereq};
use crate::workspace::Workspace;

/// What a demo takes, by where its firmware runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// In the host's process.
    Host,
    /// In QEMU, on the board whose image is always built in.
    FirstBoard,
    /// In QEMU, on another board.
    OtherBoard,
}

impl Needs {
    /// Whoever has an image or a flash file of their own needs none that is built in.
    fn of(args: &[String]) -> Self {
        let has_own = value(args, "--image").or(value(args, "--flash")).is_some();
        match (value(args, "--mcu"), value(args, "--board")) {
            (Some("qemu"), Some(board)) if board != BOARDS[0].name && !has_own => Self::OtherBoard,
            (Some("qemu"), _) => Self::FirstBoard,
            _ => Self::Host,
        }
    }

    const fn prereqs(self) -> &'static [Prereq] {
        match self {
            Self::Host => prereq::BUILD,
            Self::FirstBoard => prereq::RUN_IMAGE,
            Self::OtherBoard => prereq::RUN_IMAGES,
        }
    }

    fn build(self) -> Cmd {
        let features: &[&str] = match self {
            Self::Host | Self::FirstBoard => &[],
            Self::OtherBoard => &["--features", "all-boards"],
        };
        Cmd::cargo(["build", "--release", "--package", "godwit"]).args(features.iter().copied())
    }
}

/// The value of an option, as its own word or after `=`.
fn value<'a>(args: &'a [String], option: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| arg.split('=').next() == Some(option))?;
    match args[at].split_once('=') {
        Some((_, value)) => Some(value),
        None => args.get(at + 1).map(String::as_str),
    }
}

/// Builds the command line and runs its demo, whose exit status becomes ours.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let needs = Needs::of(args);
    prereq::ensure(needs.prereqs())?;
    needs.build().run(workspace.root())?;
    let binary = workspace.target_dir().join(format!("release/godwit{EXE_SUFFIX}"));
    let demo = Cmd::new(binary.to_string_lossy()).args(["demo"]).args(args);
    Ok(passed_on(demo.status(workspace.root())?))
}

#[cfg(test)]
mod tests {
    use super::Needs;

    #[test]
    fn a_demo_needs_what_its_firmware_runs_on() {
        let needs = |line: &str| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            Needs::of(&args)
        };
        for line in ["", "--seed 7", "--mcu native --board mps2-an386", "--mcu"] {
            assert_eq!(needs(line), Needs::Host, "{line}");
        }
        for line in ["--mcu qemu", "--mcu=qemu --board=qemu-virt-rv64"] {
            assert_eq!(needs(line), Needs::FirstBoard, "{line}");
        }
        let other = "--json --mcu qemu --board mps2-an386";
        assert_eq!(needs(other), Needs::OtherBoard);
        assert_eq!(needs(&format!("{other} --image my.elf")), Needs::FirstBoard);
        assert!(Needs::OtherBoard.build().to_string().ends_with("--features all-boards"));
    }
}
