//! Which vGPUs the firmware must have, as far as its host was told: held against what each start of
//! it says.

use godwit_types::Gfid;
use godwit_wire::mailbox::Command;
use std::collections::BTreeMap;

/// The vGPUs of a host, by bit.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Made, and nobody has asked to release them.
    made: u32,
    /// Started, and nobody has asked to stop or release them.
    started: u32,
    /// Made, and not there at the last start.
    missing: u32,
    /// Starts of the firmware that were told.
    starts: u32,
    /// Commands that are not answered and whose answer tells something.
    asked: BTreeMap<u32, (Gfid, Asked)>,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Create,
    Start,
}

fn bit(gfid: Gfid) -> u32 {
    1 << (gfid.raw() - 1)
}

/// The vGPUs of a word, in order.
pub(crate) fn gfids(bits: u32) -> impl Iterator<Item = Gfid> {
    (1..=32).filter_map(Gfid::new).filter(move |gfid| bits & bit(*gfid) != 0)
}

/// The word of some vGPUs.
pub(crate) fn word(gfids: impl Iterator<Item = Gfid>) -> u32 {
    gfids.fold(0, |bits, gfid| bits | bit(gfid))
}

impl Tally {
    /// A command was sent. What is on its way to be stopped or absent need not be what it was.
    pub(crate) fn sent(&mut self, id: u32, gfid: Gfid, command: &Command) {
        match command {
            Command::Create { .. } => {
                self.forget(gfid);
                self.asked.insert(id, (gfid, Asked::Create));
            }
            Command::Start => {
                self.asked.insert(id, (gfid, Asked::Start));
            }
            Command::Stop { .. } => self.started &= !bit(gfid),
            Command::Release => self.forget(gfid),
            _ => {}
        }
    }

    /// A command was answered.
    pub(crate) fn answered(&mut self, id: u32, is_done: bool) {
        match self.asked.remove(&id) {
            Some((gfid, Asked::Create)) if is_done => self.made |= bit(gfid),
            Some((gfid, Asked::Start)) if is_done => self.started |= bit(gfid),
            _ => {}
        }
    }

    /// The firmware has started, and says what it has and what of it runs; `known` are those that
    /// the host has in its table.
    pub(crate) fn restarted(&mut self, present: u32, running: u32, known: u32) {
        self.starts = self.starts.wrapping_add(1);
        self.missing = (self.missing | self.made) & !present;
        self.made = present & known;
        self.started = running & known;
        self.asked.clear();
    }

    /// The host has none of this name, or gives it up.
    pub(crate) fn forget(&mut self, gfid: Gfid) {
        for bits in [&mut self.made, &mut self.started, &mut self.missing] {
            *bits &= !bit(gfid);
        }
    }

    /// Starts so far.
    pub(crate) fn starts(&self) -> u32 {
        self.starts
    }

    /// Those that ought to run.
    pub(crate) fn started(&self) -> u32 {
        self.started
    }

    /// Those that the last start did not have.
    pub(crate) fn missing(&self) -> u32 {
        self.missing
    }

    /// The same, once: whoever asks tells of it.
    pub(crate) fn take_missing(&mut self) -> u32 {
        std::mem::take(&mut self.missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_wire::mailbox::{Placement, Profile, Share};

    const ONE: Gfid = Gfid::new(1).unwrap();
    const TWO: Gfid = Gfid::new(2).unwrap();

    const CREATE: Command = Command::Create {
        profile: Profile { fb_bytes: 1, bar_bytes: 1, channel_count: 1, context_bytes: 1 },
        placement: Placement { fb_base: 0, bar_base: 0, channel_base: 0, context_base: 0 },
        share: Share { weight: 1, part: 0, cap: 0 },
    };

    /// Both are made, and the first runs.
    fn tally() -> Tally {
        let mut tally = Tally::default();
        tally.restarted(0b11, 0b01, 0b11);
        tally
    }

    #[test]
    fn who_is_made_and_not_there_is_missing_until_it_is_there_again() {
        let mut tally = tally();
        tally.restarted(0b10, 0, 0b11);
        assert_eq!((tally.missing(), tally.started()), (0b01, 0));
        tally.restarted(0b11, 0b01, 0b11);
        assert_eq!((tally.missing(), tally.started()), (0, 0b01));
        tally.restarted(0, 0, 0b11);
        assert_eq!(gfids(tally.take_missing()).collect::<Vec<_>>(), [ONE, TWO]);
        assert_eq!(tally.take_missing(), 0);
        tally.restarted(0, 0, 0b11);
        assert_eq!(tally.missing(), 0, "it was told once");
    }

    #[test]
    fn who_is_on_its_way_out_or_in_is_not_missed() {
        let mut tally = tally();
        tally.sent(1, ONE, &Command::Release);
        tally.sent(2, TWO, &Command::Release);
        tally.answered(2, true);
        tally.sent(3, TWO, &CREATE);
        tally.restarted(0, 0, 0b11);
        assert_eq!(tally.missing(), 0);
        // Answers of before are void.
        tally.answered(3, true);
        tally.sent(4, TWO, &CREATE);
        tally.answered(4, true);
        tally.restarted(0, 0, 0b11);
        assert_eq!(tally.missing(), 0b10);
    }
}
