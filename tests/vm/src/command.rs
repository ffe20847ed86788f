//! The program as its users run it.

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// What a command has come to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// It ended with 0.
    pub success: bool,
    /// Its standard output.
    pub text: String,
    /// What it has said besides.
    pub said: String,
}

impl Ran {
    /// The JSON that it has printed.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("{self:?}"))
    }
}

/// Runs it, and sends it a signal so long after a line that it says, if one is given.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: &Path,
    args: &[A],
    signal: Option<(&str, Duration, Signal)>,
) -> Result<Ran> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("the command does not start")?;
    let id = Pid::from_child(&child);
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().context("a pipe")?).lines() {
        let line = line?;
        if let Some((at, later, signal)) = signal
            && line == at
        {
            thread::sleep(later);
            kill_process(id, signal)?;
        }
        said += &line;
        said.push('\n');
    }
    let mut text = String::new();
    child.stdout.take().context("a pipe")?.read_to_string(&mut text)?;
    Ok(Ran { success: child.wait()?.success(), text, said })
}
