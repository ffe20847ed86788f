//! A host that is served: its card, in time, and its devices.

use crate::config::{HostConfig, Places, ServerConfig};
use crate::control::profiles::Known;
use crate::device::{Device, Who};
use crate::events::{EventLog, Where};
use crate::notes::NoteLimit;
use crate::pace::Pace;
use crate::server::ServerError;
use crate::socket::{ACCEPTS_MAX, Listener};
use crate::stats::{HostStats, MoveRecord};
use godwit_control::{Code, EventKind, Refusal, Sizes};
use godwit_shim::{Host, Journal, Mcu};
use godwit_types::{Gfid, Scheduling};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time of the card that passes before others have their turn.
const STEP_NS: u64 = 50_000;
/// How long the card computes before its clients are heard again.
const TURN: Duration = Duration::from_micros(150);
/// How long the server sleeps at most: the card's firmware may be a program of its own.
pub(crate) const SLEEP: Duration = Duration::from_millis(500);

/// The sockets at which a vGPU is reached, which it takes along.
#[derive(Debug)]
pub(crate) struct Sockets {
    machines: Listener,
    managers: Listener,
    limit: NoteLimit,
    /// What was noted of its moves on the host that it comes from.
    moves: MoveRecord,
}

impl Sockets {
    /// Listens at those of a vGPU of this name.
    pub(crate) fn bind(places: &Places, vgpu: &str) -> Result<Self, (PathBuf, io::Error)> {
        let machines = Listener::bind(places.device(vgpu))?;
        let managers = Listener::bind(places.migration(vgpu))?;
        let (limit, moves) = (NoteLimit::new(Instant::now()), MoveRecord::default());
        Ok(Self { machines, managers, limit, moves })
    }
}

/// A vGPU's device, and the sockets at which it is reached.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) device: Device,
    sockets: Sockets,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ServedHost {
    pub(crate) name: String,
    pub(crate) host: Host,
    pub(crate) devices: Vec<Served>,
    /// Bytes of its framebuffer for vGPUs.
    pub(crate) fb_bytes: u64,
    /// Of which sizes its vGPUs may be.
    pub(crate) sizes: Sizes,
    /// It is being emptied, and none may come.
    pub(crate) is_evacuated: bool,
    /// What can be created here.
    pub(crate) profiles: Known,
    /// Its moves to other hosts of this server, which end with it.
    pub(crate) journal: Journal,
    /// What is measured of it and its vGPUs.
    pub(crate) stats: HostStats,
    pace: Pace,
    /// Losses of its firmware that were told.
    losses: usize,
}

impl Served {
    pub(crate) fn listener(&self, who: Who) -> &Listener {
        match who {
            Who::Machine => &self.sockets.machines,
            Who::Manager => &self.sockets.managers,
        }
    }
}

impl ServedHost {
    /// Powers a host on, and puts its vGPUs there.
    pub(crate) fn new(
        server: &ServerConfig,
        config: &HostConfig,
        mcu: &Mcu,
    ) -> Result<Self, ServerError> {
        let failed = |why: String| ServerError::Host { host: config.name.clone(), why };
        let mut host = Host::new(config.gpu, mcu).map_err(|error| failed(error.to_string()))?;
        let pace = Pace::new(host.now_ns());
        let name = config.name.clone();
        let stats = HostStats::new(&mut host);
        let mut this = Self {
            name,
            host,
            devices: Vec::new(),
            fb_bytes: config.gpu.identity.fb_bytes,
            sizes: config.sizes,
            is_evacuated: false,
            profiles: Known::default(),
            journal: Journal::in_memory(),
            stats,
            pace,
            losses: 0,
        };
        this.host.card_mut().set_on_crash(config.on_crash);
        if config.scheduling != Scheduling::DEFAULT {
            let set = this.host.set_scheduling(config.scheduling);
            set.map_err(|error| failed(error.to_string()))?;
        }
        for vgpu in &config.vgpus {
            let created = this.host.create_running(vgpu.profile, vgpu.share, None);
            let gfid = created.map_err(|error| failed(format!("{}: {error}", vgpu.name)))?;
            let uuid = new_uuid().map_err(|error| failed(error.to_string()))?;
            let sockets = Sockets::bind(&server.places, &vgpu.name)
                .map_err(|(path, error)| ServerError::Socket { path, error })?;
            if !this.add(&vgpu.name, gfid, (uuid, 0), sockets) {
                return Err(failed(format!("{}: it is gone", vgpu.name)));
            }
        }
        this.pace.follow(this.host.now_ns());
        Ok(this)
    }

    /// Lets the card come to the present, or as far as there is time for.
    pub(crate) fn advance(&mut self) {
        let began = Instant::now();
        loop {
            let now_ns = self.host.now_ns();
            let due_ns = self.pace.due_ns();
            if now_ns >= due_ns {
                self.host.settle();
                self.deliver();
                break;
            }
            self.host.run(due_ns.min(now_ns + STEP_NS));
            self.deliver();
            if began.elapsed() > TURN {
                break;
            }
        }
        self.pace.follow(self.host.now_ns());
        self.stats.collect(&mut self.host);
        // What is left in memory that is given back is of interest to tests only.
        self.host.card_mut().gpu_mut().take_residues();
    }

    fn deliver(&mut self) {
        for served in self.devices.iter_mut().filter(|it| it.device.busy.is_none()) {
            served.device.tell(&mut self.host);
        }
    }

    /// Whether vGPUs may come here.
    ///
    /// # Errors
    ///
    /// While it is being emptied.
    pub(crate) fn check_open(&self) -> Result<(), Refusal> {
        if !self.is_evacuated {
            return Ok(());
        }
        let why = format!("host `{}` is being evacuated", self.name);
        Err(Refusal::new(Code::Busy, why).help("name another host, or wait until that has ended"))
    }

    /// A vGPU by its name.
    pub(crate) fn served(&self, name: &str) -> Option<&Served> {
        self.devices.iter().find(|it| it.device.name == name)
    }

    /// The same.
    pub(crate) fn served_mut(&mut self, name: &str) -> Option<&mut Served> {
        self.devices.iter_mut().find(|it| it.device.name == name)
    }

    /// What a vGPU is called.
    pub(crate) fn name_of(&self, gfid: Gfid) -> Option<&str> {
        let served = self.devices.iter().find(|it| it.device.gfid == gfid)?;
        Some(&served.device.name)
    }

    /// A vGPU that runs is served from now on, with its own id and the number of its last transfer.
    /// `false`: the host has none.
    pub(crate) fn add(
        &mut self,
        name: &str,
        gfid: Gfid,
        identity: ([u8; 16], u64),
        mut sockets: Sockets,
    ) -> bool {
        let device = Device::of(&mut self.host, name, gfid, identity);
        let Some(device) = device else { return false };
        self.stats.remember(gfid, std::mem::take(&mut sockets.moves));
        self.devices.push(Served { device, sockets });
        self.devices.sort_by_key(|it| it.device.gfid.raw());
        true
    }

    /// A vGPU that is gone is not served any more.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Sockets> {
        let at = self.devices.iter().position(|it| it.device.name == name)?;
        let Served { device, mut sockets } = self.devices.remove(at);
        sockets.moves = self.stats.forget(&mut self.host, device.gfid);
        // Whoever has mapped its memory sees nothing of the next one.
        self.host.card_mut().gpu_mut().keep_memory(device.gfid, false);
        Some(sockets)
    }

    /// Lets in who has connected, and does what is asked.
    pub(crate) fn serve(&mut self) {
        for served in &mut self.devices {
            for who in Who::BOTH {
                for _ in 0..ACCEPTS_MAX {
                    match served.listener(who).accept() {
                        Ok(Some(stream)) => served.device.attach(&mut self.host, who, stream),
                        Ok(None) => break,
                        Err(error) => {
                            served.device.note(format_args!("nobody is let in: {error}"));
                            break;
                        }
                    }
                }
            }
            if served.device.busy.is_none() {
                served.device.step(&mut self.host);
            }
        }
    }

    /// Takes what happened that somebody may want to know, a line each.
    pub(crate) fn take_notes(&mut self, events: &mut EventLog) -> Vec<String> {
        let mut lines = Vec::new();
        let mut tell = |kind, at: Where<'_>, text: &str| {
            events.note(kind, at, text);
            lines.push(format!("{}: {text}", at.vgpu.or(at.host).unwrap_or("-")));
        };
        for (_, loss) in self.host.card().losses().iter().skip(self.losses) {
            self.losses += 1;
            tell(EventKind::FirmwareLost, Where::host(&self.name), &loss.to_string());
        }
        for line in self.host.card_mut().take_log() {
            let text = format!("firmware: {}", line.text);
            tell(EventKind::Note, Where::host(&self.name), &text);
        }
        for report in self.host.take_abuses() {
            let at = Where { host: Some(&self.name), vgpu: self.name_of(report.gfid) };
            let text = format!("too much: {:?}, {:?}", report.abuse, report.measure);
            tell(EventKind::Abuse, at, &text);
            self.stats.abused(report.gfid);
        }
        for Served { device, sockets } in &mut self.devices {
            let notes = std::mem::take(&mut device.notes);
            for note in sockets.limit.pass(notes, Instant::now()) {
                tell(note.kind, Where::of(&self.name, &device.name), &note.text);
            }
        }
        lines
    }

    /// How long nothing happens here by itself.
    pub(crate) fn rest(&self) -> Duration {
        let card = match self.host.card().gpu().next_event_ns() {
            Some(at_ns) => self.pace.until(at_ns),
            None => SLEEP,
        };
        let devices = self.devices.iter().filter_map(|served| {
            let device = &served.device;
            let peers = [&device.machine, &device.manager];
            let waits = peers.iter().any(|peer| {
                peer.as_ref().is_some_and(|it| !it.waiting.is_empty() && !it.connection.is_full())
            });
            if waits && device.stopping.is_none() && device.table.is_none() {
                return Some(Duration::ZERO);
            }
            let silent = peers.iter().filter_map(|peer| peer.as_ref()?.patience());
            let stopping = device.stopping.as_ref().map(|stopping| stopping.left());
            let table = device.table.as_ref().map(|table| table.left());
            silent.chain(stopping).chain(table).min()
        });
        devices.fold(card.min(SLEEP), Duration::min)
    }
}

/// An id for a new vGPU, which no other has.
pub(crate) fn new_uuid() -> io::Result<[u8; 16]> {
    let mut uuid = [0; 16];
    getrandom::fill(&mut uuid).map_err(io::Error::other)?;
    Ok(uuid)
}
