//! A real `godwit serve`, as operators run it.

use crate::ctl;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long something is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Two hosts, with room for four vGPUs of 64 MiB each, and two vGPUs.
pub(crate) const CONFIG: &str = r#"
sockets = "run"
states = "states"

[[host]]
name = "a"
framebuffer = "256 MiB"

[[host]]
name = "b"
framebuffer = "256 MiB"

[[vgpu]]
name = "v0"
host = "a"
profile = { framebuffer = "64 MiB" }

[[vgpu]]
name = "w0"
host = "b"
profile = { framebuffer = "128 MiB" }
"#;

/// See the module.
pub(crate) struct Serving {
    child: Child,
    run: PathBuf,
    _folder: tempfile::TempDir,
}

impl Serving {
    pub(crate) fn start() -> Self {
        Self::start_with(CONFIG, |_| {})
    }

    /// With another configuration than [`CONFIG`], in a folder that is prepared like this.
    pub(crate) fn start_with(config: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serve.toml");
        fs::write(&path, config).unwrap();
        prepare(folder.path());
        let run = folder.path().join("run");
        let child = serve(&path);
        Self { child, run, _folder: folder }
    }

    /// The same with a port of this machine, and its address. `keys`: what `[control]` says of TLS.
    pub(crate) fn listening(keys: &str) -> (Self, String) {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("serve.toml");
        let port = "[control]\nlisten = \"tcp:127.0.0.1:0\"\n";
        fs::write(&config, format!("{CONFIG}\n{port}{keys}")).unwrap();
        let run = folder.path().join("run");
        let mut child = serve_and(&config, Stdio::piped());
        let mut notes = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        notes.read_line(&mut line).unwrap();
        std::thread::spawn(move || std::io::copy(&mut notes, &mut std::io::sink()));
        let address = line.trim().strip_prefix("listening at ").expect("its first note").to_owned();
        (Self { child, run, _folder: folder }, address)
    }

    /// The folder of its sockets.
    pub(crate) fn path(&self) -> &Path {
        &self.run
    }

    /// `godwit ctl` with this line, to its end. A word with blanks is between two `'`.
    pub(crate) fn ctl(&self, line: &str) -> Output {
        ctl(&self.run, &words(line)).output().unwrap()
    }

    /// The same, beside which the test goes on. `stdout`: where its answer goes.
    pub(crate) fn ctl_beside(&self, line: &str, stdout: Stdio) -> Child {
        Command::new(env!("CARGO_BIN_EXE_godwit"))
            .args(["ctl", "--connect", "unix:ctl"])
            .args(words(line))
            .current_dir(&self.run)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits until something has happened that is told with this text.
    pub(crate) fn await_event(&self, text: &str) {
        let mut child = self.ctl_beside("events --follow --after 0", Stdio::piped());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, told) = channel();
        // It ends with the child.
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|it| tell.send(it)));
        let all = std::iter::from_fn(|| told.recv_timeout(PATIENCE).ok());
        let found = all.into_iter().any(|line| line.contains(text));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found, "the server does not tell of `{text}`");
    }

    /// What is said and answered, as on a terminal. What is refused is told with what to do.
    pub(crate) fn transcript(&self, lines: &[&str]) -> String {
        let mut all = String::new();
        for line in lines {
            let output = self.ctl(line);
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            let status = output.status.code().unwrap();
            assert!(status != 1 || err.contains("\nhelp: ") || err.is_empty(), "{line}: {err}");
            all += &format!("$ godwit ctl {line}\n{out}{err}");
            if status != 0 {
                all += &format!("[exit status {status}]\n");
            }
            all += "\n";
        }
        all
    }

    /// Ends it, as a power failure would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it anew, in its folder.
    pub(crate) fn start_again(&mut self) {
        self.child = serve(&self.run.with_file_name("serve.toml"));
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The words of a line; one with blanks is between two `'`.
fn words(line: &str) -> Vec<&str> {
    let parts = line.split('\'').enumerate();
    let words = parts.flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().collect(),
        _ => vec![part],
    });
    words.collect()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Starts it, and waits until it listens: it prints its vGPUs' arguments then.
fn serve(config: &Path) -> Child {
    serve_and(config, Stdio::null())
}

fn serve_and(config: &Path, notes: Stdio) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_godwit"))
        .args(["serve", "--config"])
        .arg(config)
        .stdout(Stdio::piped())
        .stderr(notes)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_ne!(line, "", "it does not serve");
    // What else it prints is nobody's to read, and must not stop it.
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    child
}
