//! The device: its state, and the data session that goes with it.

use super::bus::Bus;
use super::resuming::Resuming;
use super::saving::{Saving, whole_bytes};
use super::{MigrationError, MigrationState, PrecopyInfo, wait, wipe};
use crate::host::{Answer, Host, VgpuInfo};
use crate::release::Start;
use crate::save::{SaveError, SaveOptions};
use godwit_types::Gfid;
use godwit_wire::mailbox::{Command, StopMode};

/// How long a vGPU may take to stop, in nanoseconds.
const STOP_NS: u64 = 640_000_000;

#[derive(Debug)]
enum Session {
    None,
    Saving(Box<Saving>),
    /// The state was lost on the way, and cannot be read any more.
    Lost(SaveError),
    Resuming(Box<Resuming>),
}

/// A vGPU that can be migrated.
///
/// Its place on the card is its own: a state that is written to it is restored where it sits.
#[derive(Debug)]
pub struct MigrationDevice {
    gfid: Gfid,
    /// What the host has set for it, as it was when it was there last.
    home: VgpuInfo,
    bus: Bus,
    uuid: [u8; 16],
    state: MigrationState,
    session: Session,
    /// Number of its last transfer.
    token: u64,
}

impl MigrationDevice {
    /// A vGPU of this host that runs. `None`: there is none.
    ///
    /// `uuid`: its own id, which it keeps wherever it goes. `token`: the number of its last
    /// transfer; those that come count on from there.
    pub fn new(host: &Host, gfid: Gfid, uuid: [u8; 16], token: u64) -> Option<Self> {
        let home = *host.vgpu(gfid)?;
        let (state, session) = (MigrationState::Running, Session::None);
        Some(Self { gfid, home, bus: Bus::of(host, gfid), uuid, state, session, token })
    }

    /// Its state.
    pub fn state(&self) -> MigrationState {
        self.state
    }

    /// Which vGPU it is.
    pub fn gfid(&self) -> Gfid {
        self.gfid
    }

    /// Its own id: after a state was written, that of the vGPU that the state is of.
    pub fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    /// The number of its last transfer.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// A number for a transfer that is none of this device's: those that come count on from it.
    pub fn next_token(&mut self) -> u64 {
        self.token += 1;
        self.token
    }

    /// Brings it to another state, by the arcs that lead there. The state is set completely when
    /// this returns. After an error it is in the last state that it came to, or in ERROR.
    ///
    /// # Errors
    ///
    /// [`MigrationError::WrongState`] when there is no way; otherwise what an arc met.
    pub fn set_state(&mut self, host: &mut Host, to: MigrationState) -> Result<(), MigrationError> {
        loop {
            let next = self.state.next(to).ok_or(MigrationError::WrongState)?;
            if next == self.state {
                return Ok(());
            }
            self.arc(host, next)?;
            self.state = next;
        }
    }

    /// Makes it as it was when it was new, from any state: it runs, and all that it had is gone.
    /// What the host has set for it stays: its place, its share, its DMA windows and those that
    /// lead to it, its log, in which all counts as written then.
    ///
    /// # Errors
    ///
    /// When the firmware does not do it; it is in ERROR then, and may be reset again.
    pub fn reset(&mut self, host: &mut Host) -> Result<(), MigrationError> {
        self.state = MigrationState::Error;
        self.blank(host)?;
        self.start(host)?;
        self.state = MigrationState::Running;
        Ok(())
    }

    /// Puts a new vGPU, which stands still, in the place of the one that there is.
    fn blank(&mut self, host: &mut Host) -> Result<(), MigrationError> {
        self.note_place(host);
        // Whatever a session was about to do is of no interest, but that it does no more.
        match std::mem::replace(&mut self.session, Session::None) {
            Session::None | Session::Lost(_) => {}
            Session::Saving(saving) => saving.end(host)?,
            Session::Resuming(resuming) => resuming.give_up(host)?,
        }
        wipe(host, self.gfid)?;
        let VgpuInfo { profile, placement, share } = self.home;
        let created = host.create(self.gfid, profile, placement, share);
        wait(host, |host| match host.poll_answer(&created) {
            Answer::Waiting => None,
            Answer::Done => Some(Ok(())),
            Answer::Refused(why) => Some(Err(why.into())),
            Answer::Void => Some(Err(MigrationError::Late)),
        })??;
        self.bus.set(host, self.gfid);
        Ok(())
    }

    /// What the host has set for it, while it is there to be asked.
    fn note_place(&mut self, host: &Host) {
        if let Some(home) = host.vgpu(self.gfid)
            && host.card().gpu().partition(self.gfid).is_some()
        {
            (self.home, self.bus) = (*home, Bus::of(host, self.gfid));
        }
    }

    /// A state that was written is none: only a reset leads on. Until then there is a device
    /// without a state, for what the host maps and the guest reads.
    fn fail(&mut self, host: &mut Host) {
        self.state = MigrationState::Error;
        // The reset tries it again, and tells of it.
        let _ = self.blank(host);
    }

    /// Reads the state. Less than was asked for is the end: of the stream in STOP_COPY, and of
    /// what there is for now before.
    ///
    /// # Errors
    ///
    /// [`MigrationError::NoData`] where there is nothing for now, which 0 bytes say in STOP_COPY;
    /// [`MigrationError::WrongState`] in any other state. Where the state is lost on the way, it is
    /// told why until the saving group is left; the vGPU is as it would be without a session.
    pub fn read(&mut self, host: &mut Host, into: &mut [u8]) -> Result<usize, MigrationError> {
        let result = self.saving()?.read(host, into);
        self.notice_loss(&result);
        result
    }

    /// Writes a part of a state, of any length.
    ///
    /// # Errors
    ///
    /// [`MigrationError::WrongState`] unless it is RESUMING; otherwise what is wrong with the
    /// state. No more of it is taken then, and only a reset leads on.
    pub fn write(&mut self, host: &mut Host, from: &[u8]) -> Result<usize, MigrationError> {
        self.note_place(host);
        let Session::Resuming(resuming) = &mut self.session else {
            return Err(MigrationError::WrongState);
        };
        let result = resuming.write(host, from, (&self.home, &self.bus));
        if result.is_err() {
            self.fail(host);
        }
        result.map(|()| from.len())
    }

    /// What a reader has before it in PRE_COPY and PRE_COPY_P2P.
    ///
    /// # Errors
    ///
    /// [`MigrationError::WrongState`] in any other state.
    pub fn precopy_info(&mut self, host: &mut Host) -> Result<PrecopyInfo, MigrationError> {
        if !self.state.runs() {
            return Err(MigrationError::WrongState);
        }
        let result = self.saving()?.info(host);
        self.notice_loss(&result);
        result
    }

    /// How many bytes would have to be read at most if it was stopped now; in any state.
    pub fn stop_copy_bytes(&mut self, host: &mut Host) -> u64 {
        match &mut self.session {
            Session::Saving(saving) => saving.rest_bytes(host),
            Session::None | Session::Lost(_) | Session::Resuming(_) => {
                whole_bytes(&self.home.profile)
            }
        }
    }

    /// The session in which the state is read.
    fn saving(&mut self) -> Result<&mut Saving, MigrationError> {
        match &mut self.session {
            Session::Saving(saving) => Ok(saving),
            Session::Lost(why) => Err((*why).into()),
            Session::None | Session::Resuming(_) => Err(MigrationError::WrongState),
        }
    }

    /// Where the state is lost, the device stays in its state: only its user changes that.
    fn notice_loss<T>(&mut self, result: &Result<T, MigrationError>) {
        if let Err(MigrationError::Save(why)) = result {
            self.session = Session::Lost(*why);
            if matches!(why, SaveError::NotStarted(_)) {
                self.state = MigrationState::Error;
            }
        }
    }

    fn arc(&mut self, host: &mut Host, next: MigrationState) -> Result<(), MigrationError> {
        use MigrationState::{PreCopy, PreCopyP2p, Running, RunningP2p, Stop, StopCopy};
        match (self.state, next) {
            (Running, RunningP2p) | (PreCopy, PreCopyP2p) => self.peers(host, false),
            (RunningP2p, Running) | (PreCopyP2p, PreCopy) => self.peers(host, true),
            (RunningP2p, Stop) => self.stop(host),
            (Stop, RunningP2p) => {
                self.peers(host, false)?;
                self.start(host)
            }
            (Running, PreCopy) | (RunningP2p, PreCopyP2p) => self.begin(host).map(drop),
            (PreCopy, Running) | (PreCopyP2p, RunningP2p) | (StopCopy, Stop) => self.end(host),
            (PreCopyP2p, StopCopy) => {
                let result = self.saving()?.stop(host);
                self.notice_loss(&result);
                result
            }
            (Stop, StopCopy) => {
                self.begin(host)?.save_still(host);
                Ok(())
            }
            (Stop, MigrationState::Resuming) => {
                let resuming = Resuming::new(host, self.gfid, &self.home);
                self.session = Session::Resuming(Box::new(resuming));
                Ok(())
            }
            (MigrationState::Resuming, Stop) => self.resumed(host),
            _ => Err(MigrationError::WrongState),
        }
    }

    fn peers(&mut self, host: &mut Host, open: bool) -> Result<(), MigrationError> {
        Ok(host.set_peer(self.gfid, open)?)
    }

    /// Stops the vGPU. A firmware that is restarted meanwhile is asked again, if it runs there.
    fn stop(&mut self, host: &mut Host) -> Result<(), MigrationError> {
        let gfid = self.gfid;
        let stop = Command::Stop { mode: StopMode::Instruction, timeout_ns: STOP_NS };
        let mut pending = host.send(gfid, stop);
        wait(host, |host| match host.poll_answer(&pending) {
            Answer::Waiting => None,
            Answer::Done => Some(Ok(())),
            Answer::Refused(why) => Some(Err(why.into())),
            Answer::Void if !host.was_running(gfid) => Some(Ok(())),
            Answer::Void => {
                pending = host.send(gfid, stop);
                None
            }
        })?
    }

    fn start(&mut self, host: &mut Host) -> Result<(), MigrationError> {
        let mut start = Start::new(host, self.gfid);
        wait(host, |host| match start.step(host) {
            Ok(done) => done.then_some(Ok(())),
            Err(why) => Some(Err(why.into())),
        })?
    }

    fn begin(&mut self, host: &mut Host) -> Result<&mut Saving, MigrationError> {
        self.token += 1;
        let options = SaveOptions {
            uuid: self.uuid,
            token: self.token,
            stop: StopMode::Instruction,
            stop_timeout_ns: STOP_NS,
        };
        let saving = Saving::begin(host, self.gfid, options)?;
        self.session = Session::Saving(Box::new(saving));
        self.saving()
    }

    fn end(&mut self, host: &mut Host) -> Result<(), MigrationError> {
        match std::mem::replace(&mut self.session, Session::None) {
            Session::Saving(saving) => saving.end(host),
            Session::None | Session::Lost(_) | Session::Resuming(_) => Ok(()),
        }
    }

    /// All was written: it is in place, or the vGPU is in ERROR.
    fn resumed(&mut self, host: &mut Host) -> Result<(), MigrationError> {
        self.note_place(host);
        let Session::Resuming(resuming) = &mut self.session else {
            return Err(MigrationError::WrongState);
        };
        match resuming.finish(host, (&self.home, &self.bus)) {
            Ok((uuid, token)) => {
                (self.uuid, self.token) = (uuid, self.token.max(token));
                self.session = Session::None;
                Ok(())
            }
            Err(why) => {
                self.fail(host);
                Err(why)
            }
        }
    }
}
