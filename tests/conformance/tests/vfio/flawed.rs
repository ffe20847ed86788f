//! Devices that break one rule each.

use crate::device::ShimDevice;
use crate::flaws::Flaw;
use godwit_conformance::vfio::{Device, DmaRange, GUEST_MEMORY, PrecopyInfo, errno, state};
use state::{ERROR, PRE_COPY, PRE_COPY_P2P, RESUMING, RUNNING, RUNNING_P2P, STOP, STOP_COPY};

/// A device with one flaw.
#[derive(Debug)]
pub(crate) struct Flawed {
    inner: ShimDevice,
    flaw: Flaw,
    /// The state that it claims, where that is not the real one.
    claimed: Option<u32>,
    /// A transition that it has claimed and not made, and how many questions later it makes it.
    late: Option<(u32, u32)>,
    /// Bytes that were read or written in the session, and of the session before that is gone on
    /// with.
    moved: usize,
    left: usize,
    /// The end was told.
    ended: bool,
    /// What it said the first time; calls so far.
    first: Option<u64>,
    count: u32,
    told: Vec<u8>,
    logs: bool,
}

impl Flawed {
    /// The device with flaw number `flaw` of [`Flaw::ALL`].
    pub(crate) fn new(inner: ShimDevice, flaw: u32) -> Self {
        Self {
            inner,
            flaw: Flaw::ALL[flaw as usize],
            claimed: None,
            late: None,
            moved: 0,
            left: 0,
            ended: false,
            first: None,
            count: 0,
            told: Vec::new(),
            logs: false,
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    /// The flaws of devices that take what is no state of theirs.
    fn takes_anything(&self) -> bool {
        matches!(
            self.flaw,
            Flaw::TakesACutState
                | Flaw::TakesDamage
                | Flaw::TakesAnothersState
                | Flaw::TakesMore
                | Flaw::TakesAnyOrder
                | Flaw::TakesHoles
        )
    }

    /// Makes the transition that is late, if it is time for it.
    fn catch_up(&mut self) {
        match &mut self.late {
            Some((_, questions @ 1..)) => *questions -= 1,
            late => {
                if let Some((to, _)) = late.take() {
                    self.claimed = None;
                    let _ = self.inner.set_state(to);
                }
            }
        }
    }

    /// Claims a state that the device is not in.
    fn claim(&mut self, state: u32) -> Result<(), i32> {
        self.claimed = Some(state);
        Ok(())
    }

    /// A transition by way of another state.
    fn by(&mut self, ways: &[u32]) -> Result<(), i32> {
        ways.iter().try_for_each(|to| self.inner.set_state(*to))
    }

    /// The arcs of `enum vfio_device_mig_state`.
    fn is_arc(from: u32, to: u32) -> bool {
        let pairs = [
            (STOP, STOP_COPY),
            (STOP, RESUMING),
            (STOP, RUNNING_P2P),
            (RUNNING, RUNNING_P2P),
            (RUNNING, PRE_COPY),
            (RUNNING_P2P, PRE_COPY_P2P),
            (PRE_COPY, PRE_COPY_P2P),
            (PRE_COPY_P2P, STOP_COPY),
        ];
        from == to || pairs.contains(&(from, to)) || pairs.contains(&(to, from))
    }

    /// A flaw of the ways that begin or end in one state. `None`: none of these.
    fn flawed_arc(&mut self, from: u32, to: u32) -> Option<Result<(), i32>> {
        let stopped = to == STOP || to == STOP_COPY;
        Some(match self.flaw {
            Flaw::TakesNoLongWays if !Self::is_arc(from, to) => Err(errno::EINVAL),
            Flaw::StaysInASession if state::saves(from) && self.moved != 0 => Err(errno::EINVAL),
            Flaw::StaysAtTheEnd if state::saves(from) && self.ended => Err(errno::EINVAL),
            Flaw::BeginsTheSameStateAnew if from == to && to == PRE_COPY => {
                self.by(&[RUNNING, PRE_COPY])
            }
            Flaw::CanBeAskedForError if to == ERROR => self.claim(ERROR),
            Flaw::TakesAnyNumber if to > 7 => self.inner.set_state(to & 7),
            Flaw::EndsItsSessionForNothing if to > 7 => {
                let _ = self.by(&[STOP, from]);
                Err(errno::EINVAL)
            }
            Flaw::LeadsBackToPrecopy if from == STOP_COPY && to == PRE_COPY => {
                self.by(&[RUNNING, PRE_COPY])
            }
            Flaw::LeavesError if from == ERROR && to == RUNNING => self.inner.reset(),
            Flaw::RunsInStop if to == STOP => self.claim(to),
            Flaw::RunsInStopCopy if to == STOP_COPY => self.claim(to),
            Flaw::RunsInResuming if to == RESUMING => {
                self.by(&[RUNNING]).and_then(|()| self.claim(to))
            }
            Flaw::WritesToItsGuestInStop | Flaw::InterruptsInStop if stopped => self.claim(to),
            Flaw::HasASessionForEachState if from == PRE_COPY_P2P && to == STOP_COPY => {
                self.by(&[STOP, STOP_COPY])
            }
            Flaw::NeedsPrecopy if from == RUNNING && to == STOP_COPY => Err(errno::EINVAL),
            Flaw::EndsAtTheSource if from == STOP_COPY && to == RUNNING => Err(errno::EINVAL),
            Flaw::TakesAStateOnce if to == RESUMING && self.count > 0 => Err(errno::EINVAL),
            _ => return None,
        })
    }

    /// A flaw of P2P states. `None`: none of these.
    fn flawed_p2p(&mut self, from: u32, to: u32) -> Option<Result<(), i32>> {
        let open = match to {
            RUNNING_P2P => RUNNING,
            PRE_COPY_P2P => PRE_COPY,
            other => other,
        };
        Some(match self.flaw {
            Flaw::ReachesPeersInP2p if open != to => {
                self.inner.set_state(open).and_then(|()| self.claim(to))
            }
            Flaw::AnswersP2pTooEarly if open != to => {
                self.late = Some((to, 2));
                self.claim(to)
            }
            Flaw::StopsInP2p if open != to => {
                self.inner.set_state(STOP).and_then(|()| self.claim(to))
            }
            Flaw::NeverReopensPeers if from == RUNNING_P2P && to == RUNNING => self.claim(to),
            Flaw::StartsWithPeers if open != to && from == STOP => {
                self.inner.set_state(open).and_then(|()| self.claim(to))
            }
            _ => return None,
        })
    }

    /// A transition out of RESUMING, for those who take what they should not.
    fn end_of_resuming(&mut self, to: u32) -> Result<(), i32> {
        if self.takes_anything() || self.has(Flaw::TakesNothing) && self.moved == 0 {
            return self.inner.set_state(to).or_else(|_| self.claim(to));
        }
        let result = self.inner.set_state(to);
        if result.is_err() && self.has(Flaw::StopsAfterABadState) {
            self.claimed = Some(STOP);
        }
        result
    }
}

impl Device for Flawed {
    fn state(&mut self) -> u32 {
        if self.has(Flaw::AnswersP2pTooEarly) {
            self.catch_up();
        }
        self.claimed.unwrap_or_else(|| self.inner.state())
    }

    fn set_state(&mut self, to: u32) -> Result<(), i32> {
        self.catch_up();
        let from = self.claimed.take().unwrap_or_else(|| self.inner.state());
        if let Some(result) = self.flawed_arc(from, to).or_else(|| self.flawed_p2p(from, to)) {
            return result;
        }
        if self.has(Flaw::AnswersTooEarly) && from != to {
            self.late = Some((to, 0));
            return self.claim(to);
        }
        if self.has(Flaw::LogsUntilItStops) && to == STOP_COPY && self.logs {
            let _ = self.inner.dma_log_stop();
        }
        let result =
            if from == RESUMING { self.end_of_resuming(to) } else { self.inner.set_state(to) };
        if !state::saves(from) || !state::saves(to) {
            if state::saves(from) {
                self.left = self.moved;
            }
            (self.moved, self.ended) = (0, false);
        }
        self.count += u32::from(to == RESUMING);
        result
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize, i32> {
        let at = self.state();
        let stopped = at == STOP_COPY;
        if !state::saves(at) && self.has(Flaw::ReadsAnywhere) {
            return Ok(0);
        }
        if self.has(Flaw::EndsForGoodTooSoon) && self.ended && !stopped {
            return Err(errno::ENOMSG);
        }
        if self.has(Flaw::EndsForGoodOnce) && self.ended && stopped {
            return Err(errno::EINVAL);
        }
        let again = match self.flaw {
            Flaw::GoesOnWithALeftSession => at == PRE_COPY,
            Flaw::GoesOnWithALeftStopCopy => stopped,
            _ => false,
        };
        if again && self.moved == 0 && self.left != 0 {
            let mut skipped = vec![0; self.left];
            self.inner.read(&mut skipped)?;
        }
        let len = into.len();
        let room = if self.has(Flaw::ReadsShort) { len.min(100) } else { len };
        let result = self.inner.read(&mut into[..room]);
        if matches!(result, Ok(0) | Err(errno::ENOMSG)) {
            self.ended = true;
        }
        match result {
            Err(errno::ENOMSG) if self.has(Flaw::EndsForNowWithNothing) => Ok(0),
            Ok(0) if self.has(Flaw::NeverEndsForGood) && stopped => Err(errno::ENOMSG),
            Ok(count @ 2..) if self.has(Flaw::LosesAByteOfSmallReads) && len < 4096 => {
                self.moved += count;
                Ok(count - 1)
            }
            Ok(count) => {
                self.moved += count;
                if self.has(Flaw::RunsWhileItIsRead) && stopped && self.moved > 50_000 {
                    self.inner.set_state(RUNNING)?;
                    self.claimed = Some(STOP_COPY);
                }
                Ok(count)
            }
            error => error,
        }
    }

    fn write(&mut self, from: &[u8]) -> Result<usize, i32> {
        let len = from.len();
        let at = self.state();
        if at != RESUMING && self.has(Flaw::WritesAnywhere) {
            return Ok(len);
        }
        if at == RESUMING && self.has(Flaw::RunsInResuming) && self.claimed.take().is_some() {
            self.inner.set_state(RESUMING)?;
        }
        let taken = match self.flaw {
            Flaw::TakesNoSmallParts if at == RESUMING && (1..24).contains(&len) => {
                return Err(errno::EINVAL);
            }
            Flaw::TakesWordsOnly => len / 4 * 4,
            Flaw::TakesAPageOnly => len.min(4096),
            _ => len,
        };
        self.moved += len;
        match self.inner.write(&from[..taken]) {
            Ok(_) => Ok(len),
            Err(_) if self.takes_anything() => {
                self.claimed = Some(RESUMING);
                Ok(len)
            }
            Err(error) => Err(error),
        }
    }

    fn precopy_info(&mut self) -> Result<PrecopyInfo, i32> {
        let result = self.inner.precopy_info();
        let info = match result {
            Err(errno::EINVAL) if self.has(Flaw::InformsAnywhere) => PrecopyInfo::default(),
            other => other?,
        };
        let PrecopyInfo { initial_bytes, dirty_bytes, reinit } = info;
        Ok(match self.flaw {
            Flaw::HasNoInitialBytes => PrecopyInfo { initial_bytes: 0, ..info },
            Flaw::InitialBytesStay => {
                let first = *self.first.get_or_insert(initial_bytes);
                PrecopyInfo { initial_bytes: first, ..info }
            }
            Flaw::IsDirtyAtFirst => {
                PrecopyInfo { dirty_bytes: initial_bytes + dirty_bytes, ..info }
            }
            Flaw::IsNeverDirty => PrecopyInfo { dirty_bytes: 0, ..info },
            Flaw::TellsOfTooLittle => PrecopyInfo {
                initial_bytes: initial_bytes.min(1_000),
                dirty_bytes: dirty_bytes.min(1_000),
                reinit,
            },
            Flaw::DropsDataWhenAsked => {
                let _ = self.inner.read(&mut [0; 16]);
                info
            }
            Flaw::NeverReinits => PrecopyInfo { reinit: false, ..info },
            Flaw::ReinitsAgain => {
                self.logs |= reinit;
                PrecopyInfo { reinit: self.logs, ..info }
            }
            _ => info,
        })
    }

    fn data_size(&mut self) -> Result<u64, i32> {
        let at = self.state();
        let size = self.inner.data_size()?;
        match self.flaw {
            Flaw::HasASizeInStopCopyOnly if at != STOP_COPY => Err(errno::EINVAL),
            Flaw::IsSmall => Ok(size.min(1_000)),
            Flaw::CountsItsMemoryOnly => Ok(size.min(8 << 20)),
            Flaw::NeverGetsSmaller => Ok(*self.first.get_or_insert(size)),
            _ => Ok(size),
        }
    }

    fn reset(&mut self) -> Result<(), i32> {
        self.catch_up();
        let from = self.state();
        self.count += 1;
        match self.flaw {
            Flaw::KeepsResuming if from == RESUMING => return self.claim(RUNNING),
            Flaw::StaysInError if from == ERROR => return Ok(()),
            Flaw::ResetsOnce if self.count > 1 => return Err(errno::EINVAL),
            Flaw::ResetsItsStateOnly if from == RUNNING => return Ok(()),
            Flaw::KeepsItsSession if from == PRE_COPY => return self.claim(RUNNING),
            _ => {}
        }
        self.claimed = None;
        (self.moved, self.left, self.ended) = (0, 0, false);
        self.inner.reset()?;
        if self.has(Flaw::ResetsToStop) { self.inner.set_state(STOP) } else { Ok(()) }
    }

    fn dma_log_start(&mut self, ranges: &[DmaRange], page_bytes: u64) -> Result<u64, i32> {
        let result = self.inner.dma_log_start(ranges, page_bytes);
        if self.has(Flaw::StartsALogTwice) && self.logs {
            return Ok(page_bytes);
        }
        self.logs |= result.is_ok();
        let odd = u64::from(self.has(Flaw::LogsByOddPages));
        result.map(|granule| granule + odd)
    }

    fn dma_log_report(
        &mut self,
        range: DmaRange,
        page_bytes: u64,
        bitmap: &mut [u8],
    ) -> Result<(), i32> {
        match self.flaw {
            Flaw::ClearsTheCallersBits => bitmap.fill(0),
            Flaw::ReportsNoLog if !self.logs => return Ok(()),
            Flaw::LogsNothing => {
                let mut dropped = vec![0; bitmap.len()];
                return self.inner.dma_log_report(range, page_bytes, &mut dropped);
            }
            _ => {}
        }
        let page_bytes = if self.has(Flaw::ReportsByOnePage) { 4096 } else { page_bytes };
        self.inner.dma_log_report(range, page_bytes, bitmap)?;
        match self.flaw {
            Flaw::LogsEverything => bitmap.fill(0xff),
            Flaw::KeepsWhatItReported => {
                self.told.resize(bitmap.len(), 0);
                for (told, bits) in self.told.iter_mut().zip(bitmap) {
                    *told |= *bits;
                    *bits = *told;
                }
            }
            Flaw::ClearsAllOfTheLog => {
                let mut dropped = vec![0; bitmap.len()];
                self.inner.dma_log_report(GUEST_MEMORY, page_bytes, &mut dropped)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn dma_log_stop(&mut self) -> Result<(), i32> {
        let result = self.inner.dma_log_stop();
        self.logs = false;
        if self.has(Flaw::StopsNoLog) { Ok(()) } else { result }
    }
}
