//! The control socket: a line of JSON asks, a line of JSON answers.
//!
//! ```text
//! {"command":"list"}
//! {"vgpus":[{"name":"a0","host":"a","gfid":1,"state":"RUNNING", …}]}
//! ```

use crate::config::{device_socket, migration_socket};
use crate::host::ServedHost;
use crate::socket::{ACCEPTS_MAX, Listener};
use rustix::event::{PollFd, PollFlags};
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Who may be connected at a time.
const CLIENTS_MAX: usize = 64;
/// Bytes of a line.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a client has not read, from which on it is not heard.
const OUT_BYTES_MAX: usize = 1 << 20;
/// How long a client may be silent when others want its place.
const IDLE: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
enum Asked {
    /// Which vGPUs there are.
    List {},
}

/// A vGPU, as `list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VgpuStatus {
    /// Its name.
    pub name: String,
    /// The host that it is on.
    pub host: String,
    /// The GPU's number of it.
    pub gfid: u8,
    /// Its state of a migration, as `include/uapi/linux/vfio.h` names it.
    pub state: String,
    /// Bytes of its framebuffer.
    pub framebuffer_bytes: u64,
    /// Where that begins in the GPU's.
    pub framebuffer_base: u64,
    /// Bytes of its aperture, BAR2.
    pub aperture_bytes: u64,
    /// Where that begins in the GPU's BAR.
    pub aperture_base: u64,
    /// Its channels.
    pub channels: u16,
    /// Whether a virtual machine has it.
    pub attached: bool,
    /// The socket for the virtual machine.
    pub socket: PathBuf,
    /// The socket for migration managers.
    pub migration_socket: PathBuf,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Vgpus { vgpus: Vec<VgpuStatus> },
    Error { error: &'a str },
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    line: Vec<u8>,
    out: Vec<u8>,
    heard: Instant,
    /// It says nothing more, and is answered what it has said.
    has_ended: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Control {
    listener: Listener,
    clients: Vec<Client>,
    notes: Vec<String>,
}

impl Control {
    pub(crate) fn new(listener: Listener) -> Self {
        Self { listener, clients: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn serve(&mut self, hosts: &[ServedHost]) {
        for _ in 0..ACCEPTS_MAX {
            match self.listener.accept() {
                Ok(Some(stream)) => self.let_in(stream),
                Ok(None) => break,
                Err(error) => {
                    self.notes.push(format!("control: nobody is let in: {error}"));
                    break;
                }
            }
        }
        let folder = self.listener.path().parent().unwrap_or(Path::new(""));
        let notes = &mut self.notes;
        self.clients.retain_mut(|client| match client.serve(hosts, folder) {
            Ok(goes_on) => goes_on,
            Err(why) => {
                notes.push(format!("control: a client is cut off: {why}"));
                false
            }
        });
    }

    /// A new client takes the place of one that has been silent, where there is no other.
    fn let_in(&mut self, stream: UnixStream) {
        if self.clients.len() >= CLIENTS_MAX {
            let idle = self.clients.iter().position(|client| client.heard.elapsed() > IDLE);
            let Some(idle) = idle else {
                self.notes.push(format!("control: {CLIENTS_MAX} clients are connected: refused"));
                return;
            };
            self.clients.remove(idle);
            let seconds = IDLE.as_secs();
            let why = format!("it was silent for {seconds} seconds, and another wants its place");
            self.notes.push(format!("control: a client is cut off: {why}"));
        }
        let (line, out, heard) = (Vec::new(), Vec::new(), Instant::now());
        self.clients.push(Client { stream, line, out, heard, has_ended: false });
    }

    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    pub(crate) fn add_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.push(PollFd::new(&self.listener, PollFlags::IN));
        for client in &self.clients {
            let mut wanted = PollFlags::empty();
            wanted.set(PollFlags::IN, client.is_heard());
            wanted.set(PollFlags::OUT, !client.out.is_empty());
            fds.push(PollFd::new(&client.stream, wanted));
        }
    }
}

impl Client {
    fn is_heard(&self) -> bool {
        !self.has_ended && self.out.len() < OUT_BYTES_MAX
    }

    /// Takes a part of what it says, and answers whole lines. `false`: it has gone.
    fn serve(&mut self, hosts: &[ServedHost], folder: &Path) -> Result<bool, String> {
        self.flush()?;
        if !self.is_heard() {
            return Ok(!self.out.is_empty());
        }
        let mut part = [0; 4096];
        match self.stream.read(&mut part) {
            Ok(0) => {
                self.has_ended = true;
                return Ok(!self.out.is_empty());
            }
            Ok(count) => self.line.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error.to_string()),
        }
        self.heard = Instant::now();
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            self.out.extend(answer(&line, hosts, folder));
            self.out.push(b'\n');
        }
        if self.line.len() > LINE_BYTES_MAX {
            return Err(format!("a line has more than {LINE_BYTES_MAX} bytes"));
        }
        self.flush()?;
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), String> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}

fn answer(line: &[u8], hosts: &[ServedHost], folder: &Path) -> Vec<u8> {
    let told = match serde_json::from_slice(line) {
        Ok(Asked::List {}) => {
            let all = hosts.iter().flat_map(|host| statuses(host, folder));
            serde_json::to_vec(&Told::Vgpus { vgpus: all.collect() })
        }
        Err(error) => serde_json::to_vec(&Told::Error { error: &error.to_string() }),
    };
    // Text and numbers always become JSON.
    told.unwrap_or_default()
}

fn statuses<'a>(served: &'a ServedHost, folder: &'a Path) -> impl Iterator<Item = VgpuStatus> + 'a {
    served.devices.iter().filter_map(move |it| {
        let device = &it.device;
        let info = served.host.vgpu(device.gfid)?;
        Some(VgpuStatus {
            name: device.name.clone(),
            host: served.name.clone(),
            gfid: device.gfid.raw(),
            state: device.migration.state().to_string(),
            framebuffer_bytes: info.profile.fb_bytes,
            framebuffer_base: info.placement.fb_base,
            aperture_bytes: info.profile.bar_bytes,
            aperture_base: info.placement.bar_base,
            channels: info.profile.channel_count,
            attached: device.machine.is_some(),
            socket: device_socket(folder, &device.name),
            migration_socket: migration_socket(folder, &device.name),
        })
    })
}
