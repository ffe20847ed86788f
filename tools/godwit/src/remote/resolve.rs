//! `godwit resolve`.

use super::{Failure, Shown, journal_file, kept_file, open_journal};
use crate::vm::{Record, VmError};
use clap::{Args, ValueEnum};
use godwit_shim::{Decision, Journal, MoveStage, Refusal, Side, Token};
use std::fs;
use std::path::PathBuf;

/// Whose the vGPU is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whose {
    // This host's: it goes on from what is kept of it.
    RunHere,
    // Not this host's: what is kept of it is removed.
    Gone,
}

/// What to decide.
#[derive(Clone, Debug, Args)]
pub(crate) struct ResolveOptions {
    /// The state folder of a host that does not run.
    state: PathBuf,
    /// The move, as the journal names it. Without it the moves that are known are listed.
    #[arg(long, value_name = "TOKEN", requires = "whose")]
    token: Option<Token>,
    /// Whose the vGPU is from now on.
    #[arg(requires = "token")]
    whose: Option<Whose>,
    /// A virtual machine: what is at the destination may end (run-here), or what is left of it
    /// at the source is of no use (gone), though that cannot be seen from here.
    #[arg(long, requires = "token")]
    force: bool,
}

impl ResolveOptions {
    /// Lists moves, or decides about one.
    pub(crate) fn run(&self) -> Result<Shown, Failure> {
        let path = journal_file(&self.state);
        if !path.is_file() {
            let why = "there is no journal; name the folder that --state had";
            return Err(Failure::Mistake(format!("{}: {why}", path.display())));
        }
        let mut journal = open_journal(&self.state)?;
        match (self.token, self.whose) {
            (Some(token), Some(whose)) => self.decide(&mut journal, token, whose),
            _ => Ok((self.list(&journal), true)),
        }
    }

    fn list(&self, journal: &Journal) -> String {
        let mut text = String::new();
        for entry in journal.entries() {
            let side = match entry.stage.side() {
                Side::Source => "source",
                Side::Destination => "destination",
            };
            let by = if entry.resolved { ", by decision" } else { "" };
            let kept =
                if kept_file(&self.state, &entry.token).is_file() { ", kept here" } else { "" };
            // The host does not run, so whoever was about to start it is gone.
            let unsure = match entry.stage {
                MoveStage::Running => ", and whether it has run is not known",
                _ => "",
            };
            text += &format!("{} {side}: {}{by}{kept}{unsure}\n", entry.token, entry.stage);
            if let Ok(Some(machine)) = Record::read(&self.state, &entry.token) {
                text += &format!("  {}\n", machine.look());
            }
        }
        text
    }

    /// A virtual machine, whose migration was not seen to its end: its two ends are there, or not.
    fn decide_machine(
        &self,
        journal: &mut Journal,
        token: Token,
        whose: Whose,
        machine: &Record,
    ) -> Result<Shown, Failure> {
        let failed = |error: VmError| Failure::Refused(format!("move {token}: {error}"));
        let stage = journal.stage(Side::Source, &token);
        // Looked at before it is decided, since a decision stays.
        let decision = match whose {
            Whose::RunHere => {
                if stage == Some(MoveStage::Done) {
                    let why = "it is done: the machine is the destination's, and would run twice";
                    return Err(failed(VmError::Unfit(why.to_owned())));
                }
                machine.end_at_destination(self.force).map_err(failed)?;
                Decision::RunHere
            }
            Whose::Gone => {
                machine.runs_at_destination(self.force).map_err(failed)?;
                Decision::Gone
            }
        };
        // One that was not finished the first time is finished now.
        let stage = match journal.resolve(Side::Source, &token, decision) {
            Ok(stage) => stage,
            // Whoever migrated it has ended, and nobody else brings it back.
            Err(Refusal::NotNeeded { stage: MoveStage::Offered, .. })
                if whose == Whose::RunHere =>
            {
                let aborted = journal.record(token, MoveStage::Aborted);
                aborted.map_err(|error| Failure::Refused(error.to_string()))?;
                MoveStage::Aborted
            }
            Err(Refusal::Over { stage, .. })
                if (stage == MoveStage::Aborted) == (whose == Whose::RunHere) =>
            {
                stage
            }
            Err(refusal) => return Err(Failure::Refused(refusal.to_string())),
        };
        let (done, then) = match whose {
            Whose::RunHere => (machine.run_at_source(), "the machine runs at the source"),
            Whose::Gone => (machine.end_at_source(), "the machine is the destination's"),
        };
        done.map_err(|error| {
            Failure::Refused(format!("move {token} is {stage}, by decision, and yet: {error}"))
        })?;
        Record::forget(&self.state, &token);
        Ok((format!("move {token} is {stage}, by decision: {then}\n"), true))
    }

    /// The host does not run, so its card is empty: a source has what it has kept. A destination
    /// has nothing, and only what it says to the source is decided there.
    fn decide(&self, journal: &mut Journal, token: Token, whose: Whose) -> Result<Shown, Failure> {
        let refused = |why: String| Err(Failure::Refused(why));
        match Record::read(&self.state, &token) {
            Ok(Some(machine)) => return self.decide_machine(journal, token, whose, &machine),
            Ok(None) => {}
            Err(error) => return refused(error.to_string()),
        }
        if let Err(error) = journal.host_started() {
            return refused(error.to_string());
        }
        let side = match journal.stage(Side::Source, &token) {
            Some(_) => Side::Source,
            None => Side::Destination,
        };
        let kept = kept_file(&self.state, &token);
        let committed = journal.stage(side, &token) == Some(MoveStage::Committed);
        if committed && whose == Whose::RunHere && !kept.is_file() {
            return refused(format!(
                "move {token}: nothing of the vGPU is kept here ({} is not there), so that it \
                 cannot run here",
                kept.display()
            ));
        }
        let decision = match whose {
            Whose::RunHere => Decision::RunHere,
            Whose::Gone => Decision::Gone,
        };
        let stage = match journal.resolve(side, &token, decision) {
            Ok(stage) => stage,
            Err(refusal @ Refusal::Unknown(_)) => {
                let folder = self.state.display();
                return refused(format!(
                    "{refusal}: `godwit resolve {folder}` lists those that are"
                ));
            }
            Err(refusal) => return refused(refusal.to_string()),
        };
        let then = match whose {
            Whose::RunHere if side == Side::Destination => {
                "it counts as one that has run here and ended with its host, and the source lets \
                 go of it"
            }
            Whose::Gone if side == Side::Destination => {
                "it counts as one that has never run here, and the source has it back"
            }
            Whose::RunHere => "this host runs it from what is kept when it starts",
            Whose::Gone => {
                if let Err(error) = fs::remove_file(&kept)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    return refused(format!("{}: {error}", kept.display()));
                }
                "nothing of it is left on this host"
            }
        };
        Ok((format!("move {token} is {stage}, by decision: {then}\n"), true))
    }
}
