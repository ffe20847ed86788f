//! `linker/budget.toml`: how large an image of each board may be.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::workspace::Workspace;

/// Where the budgets are.
pub(crate) const PATH: &str = "linker/budget.toml";

/// One figure for each thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sizes {
    /// Code, constants, and what variables start with.
    pub(crate) flash_bytes: u64,
    /// Variables, without what grows with the number of channels.
    pub(crate) ram_bytes: u64,
    /// Variables for each channel.
    pub(crate) channel_bytes: u64,
    /// The stack at its deepest.
    pub(crate) stack_bytes: u64,
}

impl Sizes {
    /// The figures with their names.
    pub(crate) fn rows(&self) -> [(&'static str, u64); 4] {
        [
            ("flash", self.flash_bytes),
            ("static RAM", self.ram_bytes),
            ("RAM a channel", self.channel_bytes),
            ("stack", self.stack_bytes),
        ]
    }
}

/// Instructions of the longest call of each kind, up to the firmware's rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Instructions {
    /// The start.
    pub(crate) start: u64,
    /// A doorbell starts an idle channel.
    pub(crate) doorbell: u64,
    /// A slice is over and another vGPU waits: all of the call.
    pub(crate) slice_expiry: u64,
    /// Of it, up to the request to start the next group.
    pub(crate) next_start: u64,
    /// A vGPU is saved.
    pub(crate) save_call: u64,
    /// A vGPU is restored.
    pub(crate) restore_call: u64,
}

impl Instructions {
    /// The figures with their names.
    pub(crate) fn rows(&self) -> [(&'static str, u64); 6] {
        [
            ("start", self.start),
            ("doorbell", self.doorbell),
            ("slice expiry", self.slice_expiry),
            ("next start", self.next_start),
            ("save, a call", self.save_call),
            ("restore, a call", self.restore_call),
        ]
    }
}

/// The budgets of all boards, and what they are to become.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budgets {
    pub(crate) goal: Sizes,
    pub(crate) board: BTreeMap<String, Sizes>,
    instructions: BTreeMap<String, Instructions>,
    boot: BTreeMap<String, Boot>,
}

/// A boot stage's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Boot {
    flash_bytes: u64,
}

impl Budgets {
    pub(crate) fn load(workspace: &Workspace) -> Result<Self> {
        Self::parse(&workspace.read(PATH)?)
    }

    fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).with_context(|| format!("`{PATH}` has a mistake"))
    }

    /// The budget of a board's boot stage: there is none without.
    pub(crate) fn boot(&self, board: &str) -> Result<u64> {
        let boot = self.boot.get(board).map(|boot| boot.flash_bytes);
        boot.with_context(|| format!("`{PATH}` has no `[boot.{board}]`"))
    }

    /// How many instructions calls may take on a board: there is no board without.
    pub(crate) fn instructions(&self, board: &str) -> Result<&Instructions> {
        let instructions = self.instructions.get(board);
        instructions.with_context(|| format!("`{PATH}` has no `[instructions.{board}]`"))
    }

    /// A board's budget: there is no board without.
    pub(crate) fn of(&self, board: &str) -> Result<&Sizes> {
        self.board.get(board).with_context(|| format!("`{PATH}` has no `[board.{board}]`"))
    }
}

#[cfg(test)]
mod tests {
    use godwit_regs::flash::PLACES;
    use godwit_regs::window::BOARDS;

    use super::{Budgets, Workspace};

    #[test]
    fn every_board_has_a_budget() {
        let budgets = Budgets::load(&Workspace::load().unwrap()).unwrap();
        assert!(BOARDS.iter().all(|board| budgets.of(board.name).is_ok()));
        assert_eq!(budgets.board.len(), BOARDS.len());
        assert!(BOARDS.iter().all(|board| budgets.instructions(board.name).is_ok()));
        assert_eq!(budgets.instructions.len(), BOARDS.len());
        let flashed = PLACES.iter().filter(|place| place.bank.is_some());
        assert!(flashed.clone().all(|place| budgets.boot(place.board).is_ok()));
        assert_eq!(budgets.boot.len(), flashed.count());
    }

    #[test]
    fn a_mistake_is_an_error() {
        let error = Budgets::parse("[goal]\nflash = 1\n").unwrap_err();
        assert!(format!("{error:#}").contains("unknown field `flash`"), "{error:#}");
    }
}
