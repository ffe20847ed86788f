//! What the service manager is told, systemd or one that speaks as it does. Where none has started
//! this process there is nobody to tell.

use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug)]
pub(super) struct Manager {
    /// How long it may go unheard, if the manager has a watchdog.
    patience: Option<Duration>,
    /// When it was last told that the server is alive.
    told: Instant,
}

impl Manager {
    pub(super) fn new() -> Self {
        Self { patience: sd_notify::watchdog_enabled(), told: Instant::now() }
    }

    /// The sockets are there.
    pub(super) fn ready(&self, vgpus: usize) {
        let status = format!("vGPUs served: {vgpus}");
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// The server has come around once more. It is told as rarely as will do.
    pub(super) fn alive(&mut self) {
        if self.patience.is_some_and(|patience| self.told.elapsed() >= patience / 4) {
            self.told = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// The server ends.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

/// A manager that cannot be told ends the server if it wants to.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        anstream::eprintln!("the service manager cannot be told of the server: {error}");
    }
}
