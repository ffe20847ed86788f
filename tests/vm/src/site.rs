//! A process that serves a vGPU.

use anyhow::{Context as _, Result, bail};
use godwit_sys::die_with_parent;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The vGPU's name.
const VGPU: &str = "v0";
/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(60);

/// Where the vGPU sits on its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the front of it.
    Front,
    /// Behind another vGPU, on a larger card with another clock.
    Behind,
}

impl Place {
    /// The server's configuration.
    fn config(self, sockets: &Path) -> String {
        let sockets = sockets.display();
        let vgpu = format!(
            "[[vgpu]]\nname = \"{VGPU}\"\nhost = \"host\"\n\
             profile = {{ framebuffer = \"64 MiB\" }}\n"
        );
        match self {
            Self::Front => format!(
                "sockets = \"{sockets}\"\n[[host]]\nname = \"host\"\nframebuffer = \"256 MiB\"\n\
                 {vgpu}[[vgpu]]\nname = \"neighbour\"\nhost = \"host\"\n\
                 profile = {{ framebuffer = \"64 MiB\" }}\n"
            ),
            Self::Behind => format!(
                "sockets = \"{sockets}\"\n[[host]]\nname = \"host\"\nframebuffer = \"1 GiB\"\n\
                 timer_start = \"5 s\"\n[[vgpu]]\nname = \"neighbour\"\nhost = \"host\"\n\
                 profile = {{ framebuffer = \"128 MiB\" }}\n{vgpu}"
            ),
        }
    }
}

/// See the module. It ends when this is dropped.
#[derive(Debug)]
pub struct Site {
    program: PathBuf,
    folder: PathBuf,
    place: Place,
    child: Child,
}

impl Site {
    /// Starts a server, with all that it has in a folder that is there.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start(program: &Path, folder: &Path, place: Place) -> Result<Self> {
        let child = serve(program, folder, place)?;
        let (program, folder) = (program.to_owned(), folder.to_owned());
        let mut site = Self { program, folder, place, child };
        site.await_sockets()?;
        Ok(site)
    }

    /// Kills the server and starts another in its place.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        self.child = serve(&self.program, &self.folder, self.place)?;
        self.await_sockets()
    }

    /// Kills the server, if it is there.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn await_sockets(&mut self) -> Result<()> {
        let end = Instant::now() + START;
        while UnixStream::connect(self.sockets().join("ctl")).is_err() {
            let ended = matches!(self.child.try_wait(), Ok(Some(_)) | Err(_));
            if ended || Instant::now() > end {
                bail!("the server does not listen: {}", self.said());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What the server has said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.join("serve.log")).unwrap_or_default()
    }

    fn sockets(&self) -> PathBuf {
        self.folder.join("s")
    }

    /// The socket for a machine.
    pub fn device(&self) -> PathBuf {
        godwit_server::device_socket(&self.sockets(), VGPU)
    }

    /// The socket for managers.
    pub fn migration(&self) -> PathBuf {
        godwit_server::migration_socket(&self.sockets(), VGPU)
    }

    /// The neighbour's socket for a machine.
    pub fn neighbour(&self) -> PathBuf {
        godwit_server::device_socket(&self.sockets(), "neighbour")
    }
}

fn serve(program: &Path, folder: &Path, place: Place) -> Result<Child> {
    let config = folder.join("serve.toml");
    fs::write(&config, place.config(&folder.join("s")))?;
    let log = File::create(folder.join("serve.log"))?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(&config);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    die_with_parent(&mut command);
    command.spawn().context("the server does not start")
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
    }
}
