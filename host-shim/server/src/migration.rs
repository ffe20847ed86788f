//! The states of a migration over the wire.
//!
//! A vGPU that comes to a stop is answered for when the machine has all that it wrote: what goes by
//! messages must have arrived, and pages of guest memory that it wrote through mappings are sent
//! again, since the machine does not see such writes and would not send the pages to its own
//! destination.

use crate::device::{Answer, Device, Who};
use crate::peer::DATA_BYTES_MIN;
use crate::refusal::Refusal;
use crate::wire::Outstanding;
use godwit_shim::Host;
use godwit_shim::vfio::{MigrationError, MigrationState};
use godwit_sim_gpu::DmaRange;
use godwit_vfio_proto::{
    DmaAccess, FeatureAnswer, FeatureCall, Header, LogReport, MessageKind, MigrationFlags,
    PrecopyInfo, Reply, feature,
};
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// How long the machine may take until it has all that the vGPU wrote: less than QEMU waits for an
/// answer, 5 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// A change of state that is done, but for what the machine has to take.
#[derive(Debug)]
pub(crate) struct Stopping {
    pub(crate) who: Who,
    header: Header,
    call: FeatureCall,
    end: Instant,
    /// Pages that were written through mappings are sent again.
    resends: bool,
    has_failed: bool,
    /// There was a machine when it began.
    had_machine: bool,
}

impl Stopping {
    /// The machine did not take a page.
    pub(crate) fn page_failed(&mut self) {
        self.has_failed = true;
    }

    pub(crate) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}

impl Device {
    pub(crate) fn feature(
        &mut self,
        host: &mut Host,
        who: Who,
        header: &Header,
        call: FeatureCall,
    ) -> Result<Answer, Refusal> {
        let bitmap;
        let answer = match &call {
            FeatureCall::Probe { feature, get, set } => probe(*feature, *get, *set)?,
            FeatureCall::GetMigration => FeatureAnswer::Migration(MigrationFlags::all()),
            FeatureCall::GetState => FeatureAnswer::State(self.migration.state() as u32),
            FeatureCall::SetState { state, .. } => {
                return self.set_state(host, who, header, *state, call);
            }
            FeatureCall::LogStart { page_bytes, ranges } => {
                let ranges: Vec<DmaRange> = match ranges.as_slice() {
                    [] => self.all_windows(host),
                    ranges => ranges
                        .iter()
                        .map(|range| DmaRange { iova: range.iova, byte_count: range.length })
                        .collect(),
                };
                host.dma_log_start(self.gfid, &ranges, *page_bytes)?;
                FeatureAnswer::Done
            }
            FeatureCall::LogStop => {
                host.dma_log_stop(self.gfid)?;
                FeatureAnswer::Done
            }
            FeatureCall::LogReport(report) => {
                bitmap = self.report(host, report)?;
                FeatureAnswer::Report(&bitmap)
            }
            FeatureCall::GetDataSize => {
                FeatureAnswer::DataSize(self.migration.stop_copy_bytes(host))
            }
            FeatureCall::GetPrecopyInfo => {
                let info = self.migration.precopy_info(host)?;
                FeatureAnswer::Precopy(PrecopyInfo {
                    initial_bytes: info.initial_bytes,
                    dirty_bytes: info.dirty_bytes,
                    reinit: info.reinit,
                })
            }
        };
        Ok(Answer::Now(Reply::Feature(call, answer).encode(header), None))
    }

    fn report(&mut self, host: &mut Host, report: &LogReport) -> Result<Vec<u8>, Refusal> {
        let range = DmaRange { iova: report.range.iova, byte_count: report.range.length };
        // The protocol's limits bound it.
        let mut bitmap = vec![0; report.bitmap_bytes() as usize];
        host.dma_log_report(self.gfid, range, report.page_bytes, &mut bitmap)?;
        Ok(bitmap)
    }

    /// Everything that the vGPU may reach now.
    fn all_windows(&self, host: &Host) -> Vec<DmaRange> {
        let windows = host.dma_windows(self.gfid);
        windows
            .map(|window| DmaRange { iova: window.iova, byte_count: window.byte_count })
            .collect()
    }

    fn set_state(
        &mut self,
        host: &mut Host,
        who: Who,
        header: &Header,
        state: u32,
        call: FeatureCall,
    ) -> Result<Answer, Refusal> {
        let to = MigrationState::new(state)
            .ok_or_else(|| Refusal::new(format!("{state} is no state of a migration")))?;
        if self.stopping.is_some() {
            return Err(Refusal::with(Errno::BUSY, "the vGPU is being stopped"));
        }
        let was = self.migration.state();
        if !was.saves() && matches!(to, MigrationState::PreCopy | MigrationState::PreCopyP2p) {
            // What it has written so far the machine sends itself: it begins with all there is.
            let is_attached = self.machine.is_some();
            host.card_mut().gpu_mut().dma_note_unseen(self.gfid, is_attached);
        }
        let result = self.migration.set_state(host, to);
        let now = self.migration.state();
        if was == MigrationState::Resuming && now != MigrationState::Error && now != was {
            self.has_arrived = true;
        }
        if !was.runs() && now.runs() {
            if std::mem::take(&mut self.has_arrived) {
                self.irqs.owe_all();
            }
            self.ask_held(host);
        }
        result?;
        let resends = now == MigrationState::StopCopy && was != now;
        if resends || (was.runs() && !now.runs()) {
            let (header, end) = (*header, Instant::now() + PATIENCE);
            let (has_failed, had_machine) = (false, self.machine.is_some());
            let stopping = Stopping { who, header, call, end, resends, has_failed, had_machine };
            self.stopping = Some(stopping);
            return Ok(Answer::Later);
        }
        let reply = Reply::Feature(call, FeatureAnswer::Done);
        Ok(Answer::Now(reply.encode(header), None))
    }

    /// Goes on with a change of state that is not answered yet.
    pub(crate) fn step_stopping(&mut self, host: &mut Host) {
        let Some(stopping) = &self.stopping else { return };
        let (resends, has_failed) = (stopping.resends, stopping.has_failed);
        let is_late = stopping.left().is_zero();
        let is_gone = self.machine.is_none();
        if is_gone && !(resends && stopping.had_machine) {
            // Whose memory it was is gone.
            return self.finish_stopping();
        }
        if has_failed || is_late || is_gone {
            let errno = match (is_gone, has_failed) {
                // It may live on without the device, and without what that has written.
                (true, _) => Errno::NOTCONN,
                (false, true) => Errno::IO,
                (false, false) => Errno::TIMEDOUT,
            };
            // A state without what the machine did not take is of no use: it is not read.
            if let Err(error) = self.leave_stop_copy(host) {
                self.note(format_args!("the vGPU cannot leave STOP_COPY: {error}"));
            }
            return self.fail_stopping(errno);
        }
        let mut all = true;
        if resends {
            loop {
                if !self.may_send() {
                    all = false;
                    break;
                }
                let pages =
                    host.card_mut().gpu_mut().dma_take_unseen(self.gfid, DATA_BYTES_MIN as usize);
                let Some((iova, data)) = pages else { break };
                let what = Outstanding::Pages(iova, data.len() as u64);
                self.send(&DmaAccess::Write { iova, data: &data }, what);
            }
        }
        let pages = self.outstanding.values().any(|what| matches!(what, Outstanding::Pages(..)));
        let writes = host.card().gpu().dma_oldest_write(self.gfid).is_some();
        if all && !pages && !writes {
            // What was raised before it stopped is signalled before anybody hears that it has.
            self.deliver(host);
            self.finish_stopping();
        }
    }

    fn leave_stop_copy(&mut self, host: &mut Host) -> Result<(), MigrationError> {
        match self.migration.state() {
            MigrationState::StopCopy => self.migration.set_state(host, MigrationState::Stop),
            _ => Ok(()),
        }
    }

    fn finish_stopping(&mut self) {
        let Some(Stopping { who, header, call, .. }) = self.stopping.take() else { return };
        let reply = Reply::Feature(call, FeatureAnswer::Done).encode(&header);
        self.answer_later(who, &header, reply);
    }

    /// The change of state has failed after all.
    pub(crate) fn fail_stopping(&mut self, errno: Errno) {
        let Some(Stopping { who, header, .. }) = self.stopping.take() else { return };
        self.note(format_args!("the machine did not take what the vGPU wrote: {errno}"));
        self.answer_later(who, &header, header.failure(errno.raw_os_error()).to_vec());
    }

    pub(crate) fn answer_later(&mut self, who: Who, header: &Header, bytes: Vec<u8>) {
        if header.kind == (MessageKind::Command { no_reply: false })
            && let Some(peer) = self.peer(who)
        {
            peer.connection.send(bytes, Vec::new());
        }
    }

    /// The next bytes of the state. Fewer than were asked for, and none, are the end for now.
    pub(crate) fn migration_read(
        &mut self,
        host: &mut Host,
        who: Who,
        size: u32,
    ) -> Result<Vec<u8>, Refusal> {
        let most = self.peer(who).as_ref().map_or(0, |peer| peer.data_bytes());
        if size > most {
            return Err(Refusal::new(format!("{most} bytes are read at once, at most")));
        }
        let mut bytes = vec![0; size as usize];
        match self.migration.read(host, &mut bytes) {
            Ok(count) => bytes.truncate(count),
            Err(MigrationError::NoData) => bytes.clear(),
            Err(error) => return Err(error.into()),
        }
        Ok(bytes)
    }
}

/// Whether there is such a feature with these methods.
fn probe(number: u16, get: bool, set: bool) -> Result<FeatureAnswer<'static>, Refusal> {
    let (gets, sets) = match number {
        feature::MIGRATION
        | feature::DMA_LOGGING_REPORT
        | feature::MIG_DATA_SIZE
        | feature::PRECOPY_INFO => (true, false),
        feature::MIG_DEVICE_STATE => (true, true),
        feature::DMA_LOGGING_START | feature::DMA_LOGGING_STOP => (false, true),
        _ => (false, false),
    };
    if (get && !gets) || (set && !sets) {
        return Err(Refusal::new(format!("feature {number} has no such method")));
    }
    Ok(FeatureAnswer::Done)
}
