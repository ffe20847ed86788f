//! One program to run: kept as data, so that a failure can say how to repeat it.

use std::fmt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// A program, its arguments and what it finds in its environment besides ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cmd {
    program: String,
    args: Vec<String>,
    envs: Vec<(&'static str, String)>,
}

impl Cmd {
    /// A program with no arguments yet.
    pub(crate) fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), args: Vec::new(), envs: Vec::new() }
    }

    /// A cargo command.
    pub(crate) fn cargo<A: Into<String>>(args: impl IntoIterator<Item = A>) -> Self {
        Self::new("cargo").args(args)
    }

    /// Adds arguments.
    pub(crate) fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one environment variable.
    pub(crate) fn env(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.envs.push((key, value.into()));
        self
    }

    /// Runs to the end with our own standard streams.
    pub(crate) fn status(&self, dir: &Path) -> Result<ExitStatus> {
        Command::new(&self.program)
            .args(&self.args)
            .envs(self.envs.iter().map(|(key, value)| (key, value)))
            .current_dir(dir)
            .status()
            .with_context(|| format!("cannot start `{self}`"))
    }

    /// Runs to the end; anything but success is an error.
    pub(crate) fn run(&self, dir: &Path) -> Result<()> {
        let status = self.status(dir)?;
        if !status.success() {
            bail!("`{self}` ended with {status}");
        }
        Ok(())
    }

    /// Runs to the end and returns what it prints; anything but success is an error.
    pub(crate) fn stdout(&self, dir: &Path) -> Result<String> {
        let output = Command::new(&self.program)
            .args(&self.args)
            .envs(self.envs.iter().map(|(key, value)| (key, value)))
            .current_dir(dir)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start `{self}`"))?;
        if !output.status.success() {
            bail!("`{self}` ended with {}", output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{self}` prints no text"))
    }

    /// Runs silently; whether it started and succeeded.
    pub(crate) fn succeeds(&self) -> bool {
        Command::new(&self.program).args(&self.args).output().is_ok_and(|o| o.status.success())
    }
}

/// The line to type in a shell.
impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.envs {
            write!(f, "{key}={} ", quoted(value))?;
        }
        f.write_str(&quoted(&self.program))?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

/// Quotes a word for a shell where it needs it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The exit status to end with when a program that we stand in for ended with `status`.
pub(crate) fn passed_on(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + killed_by(status));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// The signal that ended a program, as a shell counts it.
fn killed_by(status: ExitStatus) -> i32 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = {
        let _ = status;
        None
    };
    signal.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Cmd;

    #[test]
    fn a_command_prints_as_it_would_be_typed() {
        let cmd = Cmd::cargo(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(cmd.to_string(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
        assert_eq!(Cmd::new("say").args(["it's", ""]).to_string(), r"say 'it'\''s' ''");
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = Cmd::new("false").run(Path::new(".")).unwrap_err().to_string();
        assert!(error.starts_with("`false` ended with"), "{error}");
        let error = Cmd::new("no-such-program").run(Path::new(".")).unwrap_err().to_string();
        assert_eq!(error, "cannot start `no-such-program`");
        assert!(!Cmd::new("no-such-program").succeeds());
    }
}
