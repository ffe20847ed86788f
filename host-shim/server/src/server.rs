//! One thread that serves all: it hears clients, lets the cards come to the present, and sleeps
//! until something happens.

use crate::config::{ConfigError, Places, ServerConfig};
use crate::control::{Control, status};
use crate::device::Who;
use crate::events::EventLog;
use crate::host::{SLEEP, ServedHost};
use crate::metrics::{Exporter, render};
use crate::socket::make_folder;
use godwit_shim::{LinkAddress, TransportError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// What is to be served cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A host.
    #[error("host `{host}` cannot be set up: {why}")]
    Host {
        /// Which.
        host: String,
        /// Why.
        why: String,
    },
    /// A socket, or their folder.
    #[error("{}: {error}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The port for those on other machines.
    #[error("{address}: {why}")]
    Remote {
        /// Where.
        address: String,
        /// Why.
        why: TransportError,
    },
    /// Where metrics are to be had.
    #[error("metrics cannot be had at {listen}: {error}")]
    Metrics {
        /// Where.
        listen: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The system cannot wait.
    #[error("nothing can be waited for: {0}")]
    Wait(io::Error),
}

/// Hosts whose vGPUs are devices at sockets.
#[derive(Debug)]
pub struct Server {
    places: Places,
    hosts: Vec<ServedHost>,
    control: Control,
    events: EventLog,
    metrics: Option<Exporter>,
}

impl Server {
    /// Powers the hosts on, and listens. Whoever connects is heard by [`Self::run`].
    ///
    /// # Errors
    ///
    /// When a host cannot be set up, or a socket cannot be had.
    pub fn new(config: &ServerConfig) -> Result<Self, ServerError> {
        config.check()?;
        let places = config.places.clone();
        for folder in std::iter::once(&places.sockets).chain(&places.states) {
            let failed = |error| ServerError::Socket { path: folder.clone(), error };
            make_folder(folder).map_err(failed)?;
        }
        let control = Control::new(&config.control, &places.sockets)?;
        let metrics = config.metrics.map(|metrics| {
            let listen = metrics.listen;
            Exporter::bind(listen).map_err(|error| ServerError::Metrics { listen, error })
        });
        let metrics = metrics.transpose()?;
        let hosts = config.hosts.iter().map(|host| ServedHost::new(config, host, &config.mcu));
        Ok(Self {
            places,
            hosts: hosts.collect::<Result<_, _>>()?,
            control,
            events: EventLog::default(),
            metrics,
        })
    }

    /// The folder of its sockets.
    pub fn sockets(&self) -> &Path {
        &self.places.sockets
    }

    /// Where those on other machines ask, with the port that it has; `None`: nowhere.
    pub fn remote(&self) -> Option<LinkAddress> {
        self.control.remote()
    }

    /// Where its metrics are had, if they are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.address().ok()
    }

    /// Serves until `stop` is set and a signal or a client has woken it; `tell` is told what
    /// happens, a line each.
    ///
    /// # Errors
    ///
    /// When the system cannot wait for clients.
    pub fn run(
        &mut self,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), ServerError> {
        while !stop.load(Ordering::Acquire) {
            self.turn(tell)?;
        }
        Ok(())
    }

    /// Serves who is there, and sleeps for at most half a second until something happens.
    /// [`Self::run`] for those who have something to do in between.
    ///
    /// # Errors
    ///
    /// When the system cannot wait for clients.
    pub fn turn(&mut self, tell: &mut dyn FnMut(&str)) -> Result<(), ServerError> {
        for host in &mut self.hosts {
            host.advance();
            host.serve();
            host.advance();
        }
        self.control.serve(&mut self.hosts, &self.places, &mut self.events);
        self.serve_metrics(tell);
        for host in &mut self.hosts {
            host.take_notes(&mut self.events).iter().for_each(|note| tell(note));
        }
        self.control.take_notes(&mut self.events).iter().for_each(|note| tell(note));
        self.wait()
    }

    /// Answers who reads metrics with what the control socket would say now.
    fn serve_metrics(&mut self, tell: &mut dyn FnMut(&str)) {
        let Self { places, hosts, control, events, metrics: Some(metrics) } = self else { return };
        let now = Instant::now();
        metrics.serve(now, &mut || {
            let vgpus = status::vgpus(hosts, places);
            render(&status::hosts(hosts), &vgpus, &control.counts(events))
        });
        metrics.take_notes(events, now).iter().for_each(|note| tell(note));
    }

    /// Sleeps until a client says something, a card has something to do, or a signal comes.
    fn wait(&mut self) -> Result<(), ServerError> {
        let rest = self.hosts.iter().map(ServedHost::rest).chain(self.control.rest()).min();
        let rest = rest.unwrap_or(SLEEP);
        let mut fds = Vec::new();
        for served in self.hosts.iter().flat_map(|host| &host.devices) {
            for who in Who::BOTH {
                fds.push(served.listener(who).poll_fd());
            }
            for peer in [&served.device.machine, &served.device.manager].into_iter().flatten() {
                let mut wanted = PollFlags::empty();
                // A peer that is not heard now is not waited for, but that it goes.
                wanted.set(PollFlags::IN, peer.is_heard());
                wanted.set(PollFlags::OUT, peer.connection.has_output());
                fds.push(PollFd::new(&peer.connection, wanted));
            }
        }
        let before = fds.len();
        self.control.add_fds(&mut fds);
        let after = fds.len();
        if let Some(metrics) = &self.metrics {
            metrics.add_fds(&mut fds);
        }
        let timeout = Timespec {
            tv_sec: i64::try_from(rest.as_secs()).unwrap_or(1),
            tv_nsec: rest.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(ServerError::Wait(error.into())),
        }
        let ready: Vec<PollFlags> = fds[before..after].iter().map(PollFd::revents).collect();
        self.control.note_ready(&ready);
        Ok(())
    }
}
