//! A live migration of a machine with its vGPU.
//!
//! QEMU sends the machine's memory and its other devices; the vGPU's state goes beside it, from
//! server to server; what QEMU keeps of the function and does not send is carried over by hand,
//! before the guest stands still if it can be.
//! QEMU is an unmodified one, and knows nothing of it: it is told to wait before it switches over,
//! and in that moment, in which the guest stands still and its memory can still be sent, the vGPU
//! is stopped.
//!
//! Until [`Step::Start`] the machine is the source's, and whatever fails is undone: the guest runs
//! on there. From then on it is the destination's. What is said last is in the journal first, so
//! that `godwit resolve` can tell.

use super::VmError;
use super::limit::Limit;
use super::machine::{ASK, Machine, Sockets, await_completed, copy_part, copy_state, state};
use super::outcome::{Moved, NotMoved, Whose};
use super::pci::{Function, read_config};
use super::qmp::Qmp;
use super::settings::Settings;
use super::steps::{Progress, Step, Steps, Watch};
use godwit_server::{Client, ClientError};
use godwit_shim::{Journal, JournalError, MoveStage, Token};
use serde_json::json;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked what there is of the vGPU's state.
const LOOK: Duration = Duration::from_millis(5);
/// How often a vGPU's server that does not answer is asked again.
const AGAIN_MAX: u32 = 20;
/// As short as a wait is.
const AT_ONCE: Duration = Duration::from_millis(1);

/// What is to be migrated, and how.
#[derive(Clone, Debug)]
pub struct Migrate {
    /// The machine that runs.
    pub from: Sockets,
    /// The machine that waits for it: started with `-S -incoming defer`, and with the device in the
    /// same slot.
    pub to: Sockets,
    /// Where QEMU sends the machine: `unix:PATH` or `tcp:HOST:PORT`, as `migrate` takes it.
    pub uri: String,
    /// Where the destination's QEMU takes it in, if that is another place: the far end of a tunnel.
    pub incoming_uri: Option<String>,
    /// How long the guest may stand still.
    pub max_downtime: Option<Duration>,
}

/// What is undone if the next thing fails.
#[derive(Debug, Default)]
struct Done {
    /// The source's vGPU may be saved.
    saves: bool,
    /// QEMU may be sending.
    sends: bool,
    /// It is in the journal that the machine is the destination's.
    committed: bool,
    /// The destination's vGPU may have been told to run.
    asked: bool,
    /// The machine at the destination may run.
    may_run: bool,
}

/// A migration under way.
struct Moving<'a> {
    how: &'a Migrate,
    from: Machine,
    to: Machine,
    done: Done,
    /// Settings of either as they were, where they were changed.
    from_settings: Option<Settings>,
    to_settings: Option<Settings>,
    progress: Progress,
    stopped_bytes: u64,
    /// When the guest stood still.
    paused: Option<Instant>,
}

/// A number that no other migration has.
pub(super) fn new_token() -> Result<Token, Box<NotMoved>> {
    let mut token = Token { uuid: [0; 16], number: 1 };
    match getrandom::fill(&mut token.uuid) {
        Ok(()) => Ok(token),
        Err(error) => Err(NotMoved::at_once(VmError::Unfit(error.to_string()), &token)),
    }
}

/// Migrates a machine. The journal says afterwards whose it is.
///
/// # Errors
///
/// When it is not moved, with whose the machine is now.
pub fn migrate(
    how: &Migrate,
    journal: &mut Journal,
    watch: &mut dyn Watch,
) -> Result<Moved, Box<NotMoved>> {
    migrate_as(how, journal, new_token()?, watch)
}

pub(super) fn migrate_as(
    how: &Migrate,
    journal: &mut Journal,
    token: Token,
    watch: &mut dyn Watch,
) -> Result<Moved, Box<NotMoved>> {
    let began = Instant::now();
    let mut steps = Steps::new(watch);
    let begun = steps.next(Step::Connect).and_then(|()| Moving::connect(how));
    let mut moving = begun.map_err(|why| NotMoved::at_once(why, &token))?;
    match moving.forward(journal, token, &mut steps) {
        Ok(pause) => Ok(Moved {
            token: token.to_string(),
            pause_ms: pause.as_secs_f64() * 1e3,
            total_ms: began.elapsed().as_secs_f64() * 1e3,
            steps_ms: steps.times_ms(),
            memory_bytes: moving.progress.memory_bytes,
            vgpu_bytes: moving.progress.vgpu_bytes,
            vgpu_stopped_bytes: moving.stopped_bytes,
        }),
        Err(why) => {
            let (step, whose) = (steps.at(), moving.undo(journal, token));
            Err(Box::new(NotMoved { step, why, whose, token: token.to_string() }))
        }
    }
}

impl<'a> Moving<'a> {
    fn connect(how: &'a Migrate) -> Result<Self, VmError> {
        let mut from = Machine::connect(&how.from)?;
        let mut to = Machine::connect(&how.to)?;
        from.expect_status(&["running"])?;
        from.expect_state(state::RUNNING, "RUNNING")?;
        to.expect_status(&["inmigrate"])?;
        to.expect_state(state::RUNNING, "RUNNING")?;
        let (done, progress) = (Done::default(), Progress::default());
        Ok(Self {
            how,
            from,
            to,
            done,
            from_settings: None,
            to_settings: None,
            progress,
            stopped_bytes: 0,
            paused: None,
        })
    }

    /// Goes through the steps. Returns how long the guest stood still.
    fn forward(
        &mut self,
        journal: &mut Journal,
        token: Token,
        steps: &mut Steps<'_>,
    ) -> Result<Duration, VmError> {
        journal.record(token, MoveStage::Offered)?;
        steps.next(Step::PreCopy)?;
        self.pre_copy()?;
        steps.next(Step::Function)?;
        let early = Function::read(&mut self.from)?;
        let written = early.write(&mut self.to, false)?.then_some(early);
        steps.next(Step::Memory)?;
        self.memory(steps)?;
        steps.next(Step::Stop)?;
        self.stop()?;
        steps.next(Step::SwitchOver)?;
        let function = self.switch_over(journal, token)?;
        steps.next(Step::Restore)?;
        if written.as_ref() != Some(&function) {
            function.write(&mut self.to, true)?;
        }
        steps.next(Step::Start)?;
        self.check_downtime()?;
        let started = self.to.server.set_state(state::RUNNING);
        self.done.asked = !matches!(started, Err(ClientError::Unsent(_)));
        started?;
        let told = self.to.qmp.ask("cont", json!({}));
        self.done.may_run = !matches!(&told, Err(error) if error.is_undone());
        told?;
        let pause = self.paused.map_or(Duration::ZERO, |paused| paused.elapsed());
        self.to.expect_status(&["running"])?;
        journal.record(token, MoveStage::Done)?;
        // From here on nothing makes it a failure.
        if let Ok(migration) = self.from.qmp.migration() {
            self.progress.memory_bytes = migration.transferred;
        }
        if let Some(settings) = &self.to_settings {
            let _ = settings.put_back(&mut self.to.qmp);
        }
        steps.watch.progress(&self.progress);
        self.leave_source();
        Ok(pause)
    }

    fn pre_copy(&mut self) -> Result<(), VmError> {
        self.from_settings = Some(Settings::set(&mut self.from.qmp, true)?);
        self.to_settings = Some(Settings::set(&mut self.to.qmp, true)?);
        self.done.saves = true;
        self.from.server.set_state(state::PRE_COPY)?;
        self.to.server.set_state(state::RESUMING)?;
        self.progress.vgpu_bytes += copy_state(&mut self.from.server, &mut self.to.server)?;
        Ok(())
    }

    /// Sends the machine's memory, and the vGPU's beside it, until the guest stands still and QEMU
    /// waits to be told that it may switch over.
    fn memory(&mut self, steps: &mut Steps<'_>) -> Result<(), VmError> {
        let there = self.how.incoming_uri.as_ref().unwrap_or(&self.how.uri);
        self.to.qmp.ask("migrate-incoming", json!({ "uri": there }))?;
        let own_ms = self.from_settings.as_ref().and_then(Settings::downtime_limit);
        let mut limit = Limit::set(&mut self.from.qmp, self.how.max_downtime, own_ms)?;
        self.done.sends = true;
        self.from.qmp.ask("migrate", json!({ "uri": self.how.uri }))?;
        let mut looked = Instant::now();
        loop {
            // Part by part, so that it is soon seen that the guest stands still.
            let is_all = self.paused.is_some() || self.copy_part()?;
            let most = if is_all { LOOK } else { AT_ONCE };
            let paused = &mut self.paused;
            let event = self.from.qmp.event(most, |event| match event.name.as_str() {
                "STOP" => {
                    *paused = Some(event.at);
                    Some(false)
                }
                // It was somebody else who had stopped it.
                "RESUME" => {
                    *paused = None;
                    None
                }
                _ => event.migration(&["pre-switchover"]).map(|()| true),
            })?;
            if event == Some(true) {
                break;
            }
            if looked.elapsed() > ASK {
                looked = Instant::now();
                steps.check()?;
                let migration = self.from.qmp.migration()?;
                self.progress.memory_bytes = migration.transferred;
                self.progress.memory_left = migration.remaining;
                steps.watch.progress(&self.progress);
                if migration.status == "pre-switchover" {
                    break;
                }
                if migration.has_failed() || migration.status == "completed" {
                    return Err(VmError::Migration(migration.why));
                }
                limit.look(&mut self.from.qmp, migration.passes)?;
            }
        }
        self.paused = self.paused.or_else(|| Some(Instant::now()));
        Ok(())
    }

    /// Copies a part of what there is of the vGPU's state. Returns whether that is all for now.
    fn copy_part(&mut self) -> Result<bool, VmError> {
        let (count, is_all) = copy_part(&mut self.from.server, &mut self.to.server)?;
        self.progress.vgpu_bytes += count;
        Ok(is_all)
    }

    /// Stops the vGPU. Its server sends pages of the guest's memory again that the vGPU has written
    /// unseen, so this comes before QEMU sends the last of it.
    fn stop(&mut self) -> Result<(), VmError> {
        self.from.server.set_state(state::STOP_COPY)?;
        self.check_downtime()
    }

    /// QEMU and the vGPU's server send what is left, each on its way, and the machine is the
    /// destination's. Returns the function, which the guest cannot change any more.
    fn switch_over(&mut self, journal: &mut Journal, token: Token) -> Result<Function, VmError> {
        let config = read_config(&mut self.from.server)?;
        self.from.qmp.ask("migrate-continue", json!({ "state": "pre-switchover" }))?;
        let end = self.end();
        let Self { from, to, .. } = self;
        let Machine { qmp, server } = from;
        let (copied, sent) = thread::scope(|scope| {
            let copied = scope.spawn(|| {
                let copied = copy_state(server, &mut to.server)?;
                to.server.set_state(state::STOP)?;
                Ok(copied)
            });
            let sent = await_completed(qmp, end);
            (copied.join().unwrap_or(Err(ClientError::Other)), sent)
        });
        self.stopped_bytes = copied?;
        self.progress.vgpu_bytes += self.stopped_bytes;
        sent?;
        self.check_downtime()?;
        let Self { from: Machine { qmp, .. }, to, .. } = self;
        // All of it is at the destination. While its QEMU looks at it, the disk may write.
        let (committed, taken) = thread::scope(|scope| {
            let committed = scope.spawn(|| journal.record(token, MoveStage::Committed));
            let taken = function_and_rest(config, qmp, &mut to.qmp, end);
            (committed.join(), taken)
        });
        let gone = || Err(JournalError::Storage(std::io::Error::other("its thread is gone")));
        committed.unwrap_or_else(|_| gone())?;
        self.done.committed = true;
        taken
    }

    /// When the guest will have stood still for as long as it may.
    fn end(&self) -> Option<Instant> {
        Some(self.paused? + self.how.max_downtime?)
    }

    /// Gives up where the bound cannot be kept any more.
    fn check_downtime(&mut self) -> Result<(), VmError> {
        let (Some(most), Some(paused)) = (self.how.max_downtime, self.paused) else {
            return Ok(());
        };
        let so_far = paused.elapsed();
        if so_far > most {
            return Err(VmError::Downtime { most, so_far });
        }
        Ok(())
    }

    /// The machine runs at the destination: nothing is left of it here. What fails here is no
    /// failure of the migration.
    fn leave_source(&mut self) {
        let reset = self.from.server.reset();
        let quit = self.from.qmp.ask("quit", json!({}));
        drop((reset, quit));
    }

    /// Brings the machine back to the source.
    fn undo(&mut self, journal: &mut Journal, token: Token) -> Whose {
        if self.done.may_run || (self.done.asked && !self.reset_destination()) {
            return Whose::Unknown;
        }
        if journal.record(token, MoveStage::Aborted).is_err() && self.done.committed {
            return Whose::Unknown;
        }
        // What is there was never told to run, and is of no use any more.
        self.reset_destination();
        let _ = self.to.qmp.ask("quit", json!({}));
        let runs = self.from.run_on(self.done.saves, self.done.sends);
        if let Some(settings) = &self.from_settings {
            let _ = settings.put_back(&mut self.from.qmp);
        }
        match runs {
            Ok(()) => Whose::Source,
            Err(_) => Whose::SourceStopped,
        }
    }

    /// Resets the destination's vGPU. Returns whether it surely does not run.
    fn reset_destination(&mut self) -> bool {
        if self.to.server.reset().is_ok() {
            return true;
        }
        // One manager is let in at a time, so this connection goes first.
        let _ = self.to.server.stream().shutdown(Shutdown::Both);
        for _ in 0..AGAIN_MAX {
            match Client::connect(&self.how.to.vgpu).and_then(|mut server| server.reset()) {
                Ok(()) => return true,
                // Nobody listens: its server is gone, and with it the vGPU.
                Err(ClientError::Socket(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                    return true;
                }
                Err(_) => thread::sleep(LOOK),
            }
        }
        false
    }
}

/// Reads the function at the source, which has nothing more to do, while QEMU takes the machine in.
fn function_and_rest(
    config: Vec<u8>,
    from: &mut Qmp,
    to: &mut Qmp,
    end: Option<Instant>,
) -> Result<Function, VmError> {
    let function = Function::with_table(config, from)?;
    await_completed(to, end)?;
    Ok(function)
}
