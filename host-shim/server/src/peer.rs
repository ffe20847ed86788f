//! Whoever has connected to a vGPU.

use crate::connection::{Connection, Message};
use crate::cut::Cut;
use godwit_vfio_proto::{Capabilities, Limits, Version};
use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a peer may take until it has said its version.
const SILENCE: Duration = Duration::from_secs(10);
/// Commands that wait while another is under way, from which on no more are received.
const WAITING_MAX: usize = 256;
/// Descriptors that came with them, from which on the same holds.
const WAITING_FDS_MAX: usize = 64;
/// Bytes of them, likewise.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Data in one access that a peer must take: the pieces in which guest memory is read and written.
pub(crate) const DATA_BYTES_MIN: u32 = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    since: Instant,
    /// What it takes, once it has said so.
    takes: Option<Limits>,
    /// Commands that wait for the one under way.
    pub(crate) waiting: VecDeque<Message>,
}

/// What we take.
pub(crate) fn offer() -> Capabilities {
    let limits = Limits::default();
    Capabilities {
        max_msg_fds: Some(limits.fds),
        max_data_xfer_size: Some(limits.data_bytes),
        pgsizes: Some(4096),
        max_dma_maps: Some(godwit_sim_gpu::DMA_WINDOWS_MAX as u32),
        write_multiple: Some(true),
    }
}

impl Peer {
    pub(crate) fn new(stream: UnixStream) -> Self {
        let connection = Connection::new(stream, Limits::default());
        Self { connection, since: Instant::now(), takes: None, waiting: VecDeque::new() }
    }

    /// Whether it has said its version.
    pub(crate) fn is_known(&self) -> bool {
        self.takes.is_some()
    }

    /// It says its version.
    pub(crate) fn meet(&mut self, version: &Version) {
        self.takes = Some(version.capabilities.limits());
    }

    /// Bytes of data that it takes at once.
    pub(crate) fn data_bytes(&self) -> u32 {
        let ours = self.connection.limits().data_bytes;
        self.takes.map_or(ours, |takes| takes.data_bytes.min(ours))
    }

    /// Whether it is to be listened to.
    pub(crate) fn is_heard(&self) -> bool {
        let sums = self.waiting.iter().fold((0, 0), |(bytes, fds), message| {
            (bytes + message.body.len(), fds + message.fds.len())
        });
        let has_room = self.waiting.len() < WAITING_MAX
            && sums.0 < WAITING_BYTES_MAX
            && sums.1 < WAITING_FDS_MAX;
        has_room && !self.connection.is_full()
    }

    /// Cuts off one that says nothing.
    pub(crate) fn check_silence(&self) -> Result<(), Cut> {
        if self.takes.is_none() && self.since.elapsed() > SILENCE {
            return Err(Cut::Silent(SILENCE.as_secs()));
        }
        Ok(())
    }

    /// When [`Self::check_silence`] is of use.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.takes.is_none().then(|| SILENCE.saturating_sub(self.since.elapsed()))
    }
}
