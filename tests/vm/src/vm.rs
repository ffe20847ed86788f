//! A machine: QEMU, and what its guest says.

use crate::initramfs::initramfs;
use anyhow::{Context as _, Result, bail};
use godwit_sys::die_with_parent;
use godwit_vm_env::VmEnv;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a guest may take from nothing to its program, on a machine that does much else.
pub const BOOT: Duration = Duration::from_secs(120);
/// Lines of the console and of QEMU that an error shows.
const SHOWN: usize = 12;

/// What the guest's program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Rounds of work, for ever.
    Jobs,
    /// It measures the aperture, and the machine is switched off.
    Bench,
    /// The computations and the memory of the rounds, for ever, each round in so many milliseconds.
    /// It needs no vGPU.
    Work(u64),
    /// Nothing, for ever. It needs no vGPU.
    Idle,
}

impl Mode {
    /// What the guest's kernel is told.
    fn options(self) -> String {
        match self {
            Self::Jobs => "godwit.mode=jobs".to_owned(),
            Self::Bench => "godwit.mode=bench".to_owned(),
            Self::Work(round_ms) => format!("godwit.mode=work godwit.round_ms={round_ms}"),
            Self::Idle => "godwit.mode=idle".to_owned(),
        }
    }
}

/// What a machine is started with.
#[derive(Clone, Debug)]
pub struct VmOptions {
    /// What its sockets are called by.
    pub name: String,
    /// The folder of its sockets.
    pub folder: PathBuf,
    /// The vGPU that it has.
    pub device: Option<PathBuf>,
    /// It waits for another machine.
    pub incoming: bool,
    /// What its guest does.
    pub mode: Mode,
    /// Its memory is its own, so that the vGPU reaches it by messages alone, and the vGPU is behind
    /// a bridge.
    pub is_unusual: bool,
}

/// A round of the guest's, as it prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Round {
    /// Its number, from 1.
    pub round: u64,
    /// Kernels that were run so far.
    pub kernels: u64,
    /// Copies that were made so far.
    pub copies: u64,
    /// Completion numbers that were seen so far.
    pub completions: u64,
    /// Interrupts that never came, so far.
    pub lost_wakeups: u64,
    /// What was wrong in it.
    pub errors: Vec<String>,
}

/// Lines that came out of a pipe.
#[derive(Debug, Default)]
struct Lines {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Lines {
    /// Takes all that comes out of a pipe, on a thread of its own.
    fn of(pipe: impl std::io::Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let ours = Arc::clone(&lines);
        thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            // A line is bounded: a guest that is broken may say anything.
            while let Ok(1..) = reader.by_ref().take(1 << 16).read_until(b'\n', &mut line) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                ours.lock().0.push(text);
                ours.more.notify_all();
            }
            ours.lock().1 = true;
            ours.more.notify_all();
        });
        lines
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Vec<String>, bool)> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> String {
        let lines = self.lock();
        let skipped = lines.0.len().saturating_sub(SHOWN);
        lines.0[skipped..].join("\n")
    }
}

/// See the module. It ends when this is dropped, or whoever has started it.
#[derive(Debug)]
pub struct Vm {
    name: String,
    child: Child,
    console: Arc<Lines>,
    said: Arc<Lines>,
    /// Lines of the console that were looked at.
    read: usize,
    qmp: PathBuf,
}

impl Vm {
    /// Starts a machine.
    ///
    /// # Errors
    ///
    /// When what it is made of is missing, or QEMU does not start.
    pub fn start(env: &VmEnv, options: &VmOptions) -> Result<Self> {
        let VmOptions { name, folder, .. } = options;
        let file = |what: &str| folder.join(format!("{name}.{what}"));
        let qmp = file("qmp");
        // All machines of a folder have the same.
        let archive = folder.join("initramfs");
        if !archive.exists() {
            fs::write(&archive, initramfs(env)?)?;
        }
        let socket = |path: &Path| format!("unix:{},server=on,wait=off", path.display());
        let mut qemu = env.qemu();
        qemu.args(["-accel", "tcg", "-m", "256M", "-nodefaults", "-display", "none"]);
        if options.is_unusual {
            qemu.args(["-machine", "q35"]);
        } else {
            let memory = "memory-backend-memfd,id=mem,size=256M,share=on";
            qemu.args(["-object", memory, "-machine", "q35,memory-backend=mem"]);
        }
        qemu.args(["-serial", "stdio", "-qmp", &socket(&qmp)]);
        qemu.arg("-kernel").arg(env.kernel()).arg("-initrd").arg(&archive);
        let append = format!("console=ttyS0 quiet panic=-1 {}", options.mode.options());
        qemu.args(["-append", &append, "-no-reboot"]);
        if let Some(path) = &options.device {
            let (bus, addr) = if options.is_unusual {
                qemu.args(["-device", "pcie-root-port,id=bridge,bus=pcie.0,addr=04.0"]);
                ("bridge", "00.0")
            } else {
                ("pcie.0", "05.0")
            };
            let device = json!({
                "driver": "vfio-user-pci",
                "socket": { "type": "unix", "path": path },
                "bus": bus,
                "addr": addr,
            });
            qemu.args(["-device", &device.to_string()]);
        }
        if options.incoming {
            qemu.args(["-S", "-incoming", "defer"]);
        }
        qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        die_with_parent(&mut qemu);
        let mut child = qemu.spawn().context("QEMU does not start")?;
        let console = Lines::of(child.stdout.take().context("a pipe")?);
        let said = Lines::of(child.stderr.take().context("a pipe")?);
        let name = name.clone();
        let mut vm = Self { name, child, console, said, read: 0, qmp };
        vm.await_socket()?;
        Ok(vm)
    }

    fn await_socket(&mut self) -> Result<()> {
        let end = Instant::now() + BOOT;
        // The file is there before anybody listens.
        while UnixStream::connect(&self.qmp).is_err() {
            if self.has_ended() || Instant::now() > end {
                bail!("{}: QEMU has no QMP socket\n{}", self.name, self.said());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Its QMP socket.
    pub fn qmp(&self) -> &Path {
        &self.qmp
    }

    /// Its last words, of the guest and of QEMU.
    pub fn said(&self) -> String {
        format!("console:\n{}\nQEMU:\n{}", self.console.last(), self.said.last())
    }

    /// Whether QEMU has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Waits until QEMU has ended.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn await_end(&mut self, most: Duration) -> Result<()> {
        let end = Instant::now() + most;
        while !self.has_ended() {
            if Instant::now() > end {
                bail!("{}: QEMU does not end\n{}", self.name, self.said());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Has QEMU do something by its QMP socket. Returns the line that it answers.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn command(&self, name: &str) -> Result<String> {
        let mut stream = UnixStream::connect(&self.qmp)?;
        stream.set_read_timeout(Some(BOOT))?;
        let commands =
            ["qmp_capabilities", name].map(|name| json!({ "execute": name }).to_string());
        stream.write_all(commands.join("\n").as_bytes())?;
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let mut answers =
            lines.filter(|line| line.contains("\"return\"") || line.contains("\"error\""));
        answers.nth(1).with_context(|| format!("{}: `{name}` is not answered", self.name))
    }

    /// Has QEMU stand still, with all that is in it, or go on.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn freeze(&self, still: bool) -> Result<()> {
        let signal = if still { Signal::STOP } else { Signal::CONT };
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).with_context(|| format!("{}: {signal:?}", self.name))
    }

    /// Kills QEMU.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The next line of the console that `wanted` takes.
    ///
    /// # Errors
    ///
    /// When none comes in time, or the console ends.
    pub fn await_line<T>(
        &mut self,
        most: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + most;
        loop {
            let lines = self.console.lock();
            while let Some(line) = lines.0.get(self.read) {
                self.read += 1;
                if let Some(found) = wanted(line) {
                    return Ok(found);
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if lines.1 || left.is_zero() {
                drop(lines);
                bail!("{}: the guest says nothing of it in time\n{}", self.name, self.said());
            }
            drop(self.console.more.wait_timeout(lines, left));
        }
    }

    /// The next round, which must be right.
    ///
    /// # Errors
    ///
    /// When none comes in time, or something is wrong in one.
    pub fn await_round(&mut self, most: Duration) -> Result<Round> {
        let name = self.name.clone();
        self.await_line(most, |line| round_of(&name, line).transpose())?
    }

    /// The last round that it has told of, if any was told since the last look.
    ///
    /// # Errors
    ///
    /// When something was wrong in one.
    pub fn last_round(&mut self) -> Result<Option<Round>> {
        let mut last = None;
        let lines = self.console.lock();
        while let Some(line) = lines.0.get(self.read) {
            self.read += 1;
            // Not by waiting for one: what is wrong must not pass for nothing more to read.
            last = round_of(&self.name, line)?.or(last);
        }
        Ok(last)
    }
}

/// The round that a line of the console tells of, if it does, and it is right.
fn round_of(name: &str, line: &str) -> Result<Option<Round>> {
    match serde_json::from_str::<Round>(line) {
        Ok(round) if round.errors.is_empty() && round.lost_wakeups == 0 => Ok(Some(round)),
        Ok(round) => bail!("{name}: {round:?}"),
        Err(_) if line.contains("\"failed\"") || line.contains("Kernel panic") => {
            bail!("{name}: {line}")
        }
        Err(_) => Ok(None),
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_file(&self.qmp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// What is read of a machine whose guest has said this and nothing more.
    fn after(lines: &str) -> Vm {
        let mut child = Command::new("printf")
            .args(["%s\n", lines])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let console = Lines::of(child.stdout.take().unwrap());
        let said = Lines::of(child.stderr.take().unwrap());
        let end = Instant::now() + BOOT;
        while !console.lock().1 {
            assert!(Instant::now() < end, "the console does not end");
            thread::sleep(Duration::from_millis(1));
        }
        let name = "machine".to_owned();
        let qmp = PathBuf::new();
        Vm { name, child, console, said, read: 0, qmp }
    }

    fn round(number: u64, errors: &str, lost: u64) -> String {
        format!(
            "{{\"round\":{number},\"kernels\":1,\"copies\":1,\"completions\":1,\
             \"lost_wakeups\":{lost},\"errors\":[{errors}]}}"
        )
    }

    #[test]
    fn the_last_round_is_told_once() {
        let mut vm = after(&[round(1, "", 0), "noise".into(), round(2, "", 0)].join("\n"));
        assert_eq!(vm.last_round().unwrap().map(|round| round.round), Some(2));
        assert_eq!(vm.last_round().unwrap(), None);
    }

    #[test]
    fn what_is_wrong_is_told_even_in_the_very_last_line() {
        let good = round(1, "", 0);
        let wrong = [round(2, "\"a byte\"", 0), round(2, "", 1), "{\"failed\":\"it\"}".into()];
        for bad in wrong.into_iter().chain(["Kernel panic - not syncing".into()]) {
            let mut vm = after(&format!("{good}\n{bad}"));
            assert!(vm.last_round().is_err(), "{bad}");
        }
    }
}
