//! The data session in which a vGPU's state is read.

use super::{MigrationError, wait};
use crate::host::Host;
use crate::save::{SaveOptions, SaveState, Saver};
use godwit_types::{Gfid, PAGE_BYTES, Profile, SLOT_BYTES, SLOT_RUNS_MAX, Throttle};
use godwit_wire::mailbox::Reject;
use godwit_wire::record::{BODY_BYTES_MAX, HEADER_BYTES};

/// Bytes of a record besides its payload, at most.
const RECORD_BYTES: u64 = (HEADER_BYTES + BODY_BYTES_MAX) as u64;
/// Bytes that may be fetched ahead of the reader, with their records.
const FETCHED_BYTES: u64 = 2 * crate::save::BUFFERED_MAX as u64;

/// What a reader is told before it decides to stop the vGPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrecopyInfo {
    /// Bytes that are to be read first, at most; above 0 until they are.
    pub initial_bytes: u64,
    /// Bytes that were written since, at most.
    pub dirty_bytes: u64,
    /// `initial_bytes` counts again, and `dirty_bytes` begins at 0: what was read before is sent
    /// once more, since the firmware was restarted. The second form of the call tells it, as a
    /// flag, and tells it once.
    pub reinit: bool,
}

/// Bytes of records with so many pages, at most.
fn pages_bytes(pages: u32) -> u64 {
    let records = u64::from(pages).div_ceil(SLOT_RUNS_MAX as u64) + 1;
    u64::from(pages) * u64::from(PAGE_BYTES) + records * RECORD_BYTES
}

/// Bytes of all that is told of a vGPU besides its pages, at most.
fn state_bytes(profile: &Profile) -> u64 {
    let channels = u64::from(profile.channel_count);
    let parts = u64::from(profile.context_bytes).div_ceil(u64::from(SLOT_BYTES));
    // The registers that the guest wrote are some words a channel.
    let records = channels * (1 + parts) + 4;
    profile.context_total() + records * RECORD_BYTES + channels * 64
}

/// Bytes of a vGPU's whole state, at most.
pub(super) fn whole_bytes(profile: &Profile) -> u64 {
    let pages = u32::try_from(profile.fb_bytes / u64::from(PAGE_BYTES)).unwrap_or(u32::MAX);
    pages_bytes(pages) + state_bytes(profile)
}

#[derive(Debug)]
pub(super) struct Saving {
    saver: Saver,
    profile: Profile,
    /// It is in the first round, or in the first after a restart.
    first: bool,
    /// Bytes of the round that were not read yet, at most.
    left: u64,
    /// Bytes that are left of all of the state once the vGPU stands still, at most.
    rest: u64,
    /// The reader was told that it has come to the end for now.
    told_end: bool,
    /// Rounds have begun anew, and nobody was told.
    reinit: bool,
}

impl Saving {
    pub(super) fn begin(
        host: &mut Host,
        gfid: Gfid,
        options: SaveOptions,
    ) -> Result<Self, MigrationError> {
        let no_vgpu = MigrationError::Refused(Reject::NoSuchVgpu);
        let profile = host.vgpu(gfid).ok_or(no_vgpu)?.profile;
        let mut saver = Saver::new(host, gfid, options).ok_or(no_vgpu)?;
        saver.begin_anew_after_restarts();
        saver.go_on(host);
        let (first, left, rest) = (true, 0, u64::MAX);
        Ok(Self { saver, profile, first, left, rest, told_end: false, reinit: false })
    }

    /// Goes on as far as it can, and notices rounds that begin anew.
    fn step(&mut self, host: &mut Host) -> SaveState {
        let state = self.saver.step(host);
        if self.saver.take_began_anew() {
            (self.first, self.reinit, self.told_end) = (true, true, false);
        }
        state
    }

    /// Fills `into`, unless it comes to an end before.
    pub(super) fn read(
        &mut self,
        host: &mut Host,
        into: &mut [u8],
    ) -> Result<usize, MigrationError> {
        let mut filled = 0;
        let end_ns = host.now_ns().saturating_add(super::PATIENCE_NS);
        self.saver.set_fetching(true);
        while filled < into.len() {
            let bytes = self.saver.take(into.len() - filled);
            into[filled..filled + bytes.len()].copy_from_slice(&bytes);
            filled += bytes.len();
            self.left = self.left.saturating_sub(bytes.len() as u64);
            if self.rest != u64::MAX {
                self.rest = self.rest.saturating_sub(bytes.len() as u64);
            }
            if !bytes.is_empty() {
                continue;
            }
            match self.step(host) {
                SaveState::Complete if self.saver.buffered() == 0 => return Ok(filled),
                // What was read so far is of no use either.
                SaveState::Undone(why) => return Err(why.into()),
                SaveState::Between if self.saver.buffered() == 0 => {
                    if !self.next_round(host, filled != 0)? {
                        break;
                    }
                }
                _ if self.saver.buffered() != 0 => {}
                _ if host.now_ns() >= end_ns || host.card().is_lost() => {
                    return Err(MigrationError::Late);
                }
                _ => {
                    host.settle();
                    host.go_on();
                }
            }
        }
        if filled == 0 && !into.is_empty() {
            return Err(MigrationError::NoData);
        }
        Ok(filled)
    }

    /// All of a round was read: whether there is another one now. Its reader is told of each end
    /// once, before it gets more.
    fn next_round(&mut self, host: &mut Host, is_read: bool) -> Result<bool, MigrationError> {
        if !self.begins() && (is_read || !self.told_end) {
            self.first = false;
            self.told_end = !is_read;
            return Ok(false);
        }
        let pages = self.count(host)?;
        self.saver.set_fetching(true);
        Ok(pages != 0)
    }

    /// Begins a round, and fetches no page of it yet. Returns how many there are.
    fn count(&mut self, host: &mut Host) -> Result<u32, MigrationError> {
        let pages = loop {
            self.saver.set_fetching(false);
            self.saver.round(host, Throttle::NONE);
            let counted = wait(host, |host| match self.step(host) {
                SaveState::Undone(why) => Some(Err(why)),
                // The firmware was restarted meanwhile.
                SaveState::Between if self.saver.round_pages().is_none() => Some(Ok(None)),
                _ => self.saver.round_pages().map(|pages| Ok(Some(pages))),
            })??;
            if let Some(pages) = counted {
                break pages;
            }
        };
        self.left = self.saver.buffered() as u64 + pages_bytes(pages);
        if pages != 0 {
            self.told_end = false;
            return Ok(pages);
        }
        // One without pages ends by itself.
        self.saver.set_fetching(true);
        wait(host, |host| match self.step(host) {
            SaveState::Undone(why) => Some(Err(why)),
            SaveState::Between => Some(Ok(())),
            _ => None,
        })??;
        self.left = self.saver.buffered() as u64;
        Ok(0)
    }

    /// What there is to be read while the vGPU runs.
    pub(super) fn info(&mut self, host: &mut Host) -> Result<PrecopyInfo, MigrationError> {
        let state = self.step(host);
        let all_read = state == SaveState::Between && self.saver.buffered() == 0;
        if let SaveState::Undone(why) = state {
            return Err(why.into());
        } else if self.begins() {
            self.count(host)?;
        } else if all_read {
            self.first = false;
            // What has changed since is told when it is known that all begins anew.
            if !self.reinit {
                self.count(host)?;
            }
        }
        let done = self.step(host) == SaveState::Between && self.saver.buffered() == 0;
        let left = if done { 0 } else { self.left.max(self.saver.buffered() as u64).max(1) };
        let (initial_bytes, dirty_bytes) = if self.first { (left, 0) } else { (0, left) };
        Ok(PrecopyInfo { initial_bytes, dirty_bytes, reinit: std::mem::take(&mut self.reinit) })
    }

    /// The first round has not begun.
    fn begins(&self) -> bool {
        self.first && self.saver.round_pages().is_none()
    }

    /// Stops the vGPU. It stands still when this returns, and what is left of its state can be
    /// read.
    pub(super) fn stop(&mut self, host: &mut Host) -> Result<(), MigrationError> {
        self.saver.set_fetching(true);
        self.saver.stop(host);
        wait(host, |host| match self.step(host) {
            SaveState::Undone(why) => Some(Err(why)),
            _ => self.saver.is_stopped().then_some(Ok(())),
        })??;
        self.saver.stay();
        self.first = false;
        Ok(())
    }

    /// Begins to save a vGPU that stands still.
    pub(super) fn save_still(&mut self, host: &mut Host) {
        self.first = false;
        self.saver.save_still(host);
    }

    /// Bytes that are to be read, at most, if the vGPU is stopped now or was.
    pub(super) fn rest_bytes(&mut self, host: &mut Host) -> u64 {
        let complete = self.step(host) == SaveState::Complete;
        let buffered = self.saver.buffered() as u64;
        let round = self.saver.round_pages().map(pages_bytes);
        let whole = whole_bytes(&self.profile);
        let rest = match round {
            _ if complete => buffered,
            Some(pages) if self.saver.is_last() => buffered + pages + state_bytes(&self.profile),
            // What is fetched of a round before the vGPU stands still may have been written again.
            round => buffered + round.unwrap_or(0).min(FETCHED_BYTES) + whole,
        };
        if !self.saver.is_stopped() {
            return rest;
        }
        self.rest = self.rest.min(rest);
        self.rest
    }

    /// Ends the session, and leaves the vGPU running or standing still, as it is.
    pub(super) fn end(mut self, host: &mut Host) -> Result<(), MigrationError> {
        if self.saver.is_stopped() {
            self.saver.stay();
        }
        self.saver.give_up(host);
        wait(host, |host| match self.saver.step(host) {
            SaveState::Undone(_) => Some(()),
            _ => None,
        })
    }
}
