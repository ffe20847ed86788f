//! A host that is served: its card, in time, and its devices.

use crate::config::{HostConfig, ServerConfig, device_socket, migration_socket};
use crate::device::{Device, Who};
use crate::notes::NoteLimit;
use crate::pace::Pace;
use crate::server::ServerError;
use crate::socket::{ACCEPTS_MAX, Listener};
use godwit_shim::{Host, Mcu};
use godwit_types::Scheduling;
use std::time::{Duration, Instant};

/// Time of the card that passes before others have their turn.
const STEP_NS: u64 = 50_000;
/// How long the card computes before its clients are heard again.
const TURN: Duration = Duration::from_micros(150);
/// How long the server sleeps at most: the card's firmware may be a program of its own.
pub(crate) const SLEEP: Duration = Duration::from_millis(500);

/// A vGPU's device, and the sockets at which it is reached.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) device: Device,
    machines: Listener,
    managers: Listener,
    limit: NoteLimit,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ServedHost {
    pub(crate) name: String,
    pub(crate) host: Host,
    pub(crate) devices: Vec<Served>,
    pace: Pace,
    /// Losses of its firmware that were told.
    losses: usize,
}

impl Served {
    pub(crate) fn listener(&self, who: Who) -> &Listener {
        match who {
            Who::Machine => &self.machines,
            Who::Manager => &self.managers,
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
        let host = Host::new(config.gpu, mcu).map_err(|error| failed(error.to_string()))?;
        let pace = Pace::new(host.now_ns());
        let name = config.name.clone();
        let mut this = Self { name, host, devices: Vec::new(), pace, losses: 0 };
        this.host.card_mut().set_on_crash(config.on_crash);
        if config.scheduling != Scheduling::DEFAULT {
            let set = this.host.set_scheduling(config.scheduling);
            set.map_err(|error| failed(error.to_string()))?;
        }
        for vgpu in &config.vgpus {
            let created = this.host.create_running(vgpu.profile, vgpu.share, None);
            let gfid = created.map_err(|error| failed(format!("{}: {error}", vgpu.name)))?;
            let mut uuid = [0; 16];
            getrandom::fill(&mut uuid).map_err(|error| failed(error.to_string()))?;
            let device = Device::new(&mut this.host, &vgpu.name, gfid, uuid);
            let device = device.ok_or_else(|| failed(format!("{}: it is gone", vgpu.name)))?;
            let listen = |path| {
                Listener::bind(path).map_err(|(path, error)| ServerError::Socket { path, error })
            };
            let machines = listen(device_socket(&server.sockets, &vgpu.name))?;
            let managers = listen(migration_socket(&server.sockets, &vgpu.name))?;
            let limit = NoteLimit::new(Instant::now());
            this.devices.push(Served { device, machines, managers, limit });
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
        // What is left in memory that is given back is of interest to tests only.
        self.host.card_mut().gpu_mut().take_residues();
    }

    fn deliver(&mut self) {
        for served in &mut self.devices {
            served.device.tell(&mut self.host);
        }
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
            served.device.step(&mut self.host);
        }
    }

    /// Takes what happened that somebody may want to know.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        let losses = self.host.card().losses().iter().skip(self.losses);
        let mut notes: Vec<String> =
            losses.map(|(_, loss)| format!("{}: {loss}", self.name)).collect();
        self.losses += notes.len();
        for line in self.host.card_mut().take_log() {
            notes.push(format!("{}: firmware: {}", self.name, line.text));
        }
        for report in self.host.take_abuses() {
            let device = self.devices.iter().find(|it| it.device.gfid == report.gfid);
            let name = device.map_or("-", |it| it.device.name.as_str());
            notes.push(format!("{name}: too much: {:?}, {:?}", report.abuse, report.measure));
        }
        for served in &mut self.devices {
            let Served { device, limit, .. } = served;
            let of_it = device.take_notes();
            notes.append(&mut limit.pass(&device.name, of_it, Instant::now()));
        }
        notes
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
