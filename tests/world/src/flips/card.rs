//! A card onto which states with a flipped bit are restored: afterwards nothing of them is there.

use super::state::State;
use super::{KEY, PIECE_BYTES, piece};
use godwit_shim::stream::Opener;
use godwit_shim::{Host, Mcu, RestoreError, RestoreState, Restorer, Wanted};
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{Engines, Gfid, Identity, VGPU_COUNT};
use std::error::Error;

const MIB: u64 = 1 << 20;
/// Steps after which a restore that is neither ready nor undone counts as stuck.
const STEPS_MAX: u32 = 100_000;

/// A card without vGPUs, again and again.
#[derive(Debug)]
pub struct Card(Host);

impl Card {
    /// A card that has room for the vGPUs of all states.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let identity = Identity {
            fb_bytes: 32 * MIB,
            bar_bytes: 32 * MIB,
            context_bytes: 4 * MIB,
            context_layout: 1,
            engines: Engines::ALL,
        };
        let config = GpuConfig { identity, start_ns: 0, costs: Costs::default() };
        Ok(Self(Host::new(config, &Mcu::Native)?))
    }

    /// Restores a state with this bit flipped, or as it is. What is wrong with what it leaves.
    pub(super) fn wrong_after(&mut self, state: &State, bit: Option<usize>) -> Vec<String> {
        // Nobody restores what has no sound head.
        if state.head_refusal(bit).is_some() {
            return Vec::new();
        }
        let (mut wrong, mut steps) = (Vec::new(), 0);
        let mut intake = Intake { state, bit, at: state.head_bytes, opener: None };
        intake.opener = state.sealed.then(|| Opener::new(&KEY));
        let mut restorer = Restorer::new(&self.0, Wanted::default());
        loop {
            match restorer.step(&mut self.0) {
                RestoreState::Described => restorer.accept(&mut self.0, None),
                RestoreState::Ready => {
                    wrong.push("the state is restored".to_owned());
                    restorer.give_up(&mut self.0);
                }
                RestoreState::Undone(why) => {
                    wrong.extend(ours(&why));
                    break;
                }
                RestoreState::Working if restorer.wants_bytes() => {
                    if intake.feed(&mut restorer).is_err() {
                        restorer.give_up(&mut self.0);
                    }
                }
                RestoreState::Working => self.advance(),
            }
            steps += 1;
            if steps > STEPS_MAX {
                wrong.push("the restore does not end".to_owned());
                break;
            }
        }
        wrong.extend(self.left());
        wrong
    }

    /// Lets the card go on to what happens next.
    fn advance(&mut self) {
        self.0.settle();
        let next_ns = self.0.card().gpu().next_event_ns();
        self.0.run(next_ns.unwrap_or(self.0.now_ns() + 1_000));
    }

    /// What is left of a vGPU that is gone.
    fn left(&mut self) -> Vec<String> {
        let host = &mut self.0;
        let mut left: Vec<String> =
            host.vgpus().map(|(gfid, _)| format!("vGPU {} is there", gfid.raw())).collect();
        if !host.is_staging_free() {
            left.push("it has staging slots".to_owned());
        }
        let gpu = host.card_mut().gpu_mut();
        let all = (1..=VGPU_COUNT).filter_map(Gfid::new);
        left.extend(
            all.filter(|gfid| gpu.partition(*gfid).is_some())
                .map(|gfid| format!("vGPU {} has a partition", gfid.raw())),
        );
        // What was in a partition when it was given back.
        left.extend(gpu.take_residues().iter().map(|residue| format!("{residue:?}")));
        let mut visit = |region, at: u64, bytes: &[u8]| {
            if let Some(found) = bytes.iter().position(|byte| *byte != 0) {
                left.push(format!("{region:?} has bytes at {:#x}", at + found as u64));
            }
        };
        if let Err(error) = gpu.for_each_data(&mut visit) {
            left.push(error.to_string());
        }
        left
    }
}

/// Why a restore failed, if it is no fault of the state's.
fn ours(why: &RestoreError) -> Option<String> {
    let fault = matches!(why, RestoreError::NoRoom(_) | RestoreError::Restarted);
    fault.then(|| why.to_string())
}

/// Gives a restorer a state, opened where it is sealed.
struct Intake<'a> {
    state: &'a State,
    bit: Option<usize>,
    at: usize,
    opener: Option<Opener>,
}

impl Intake<'_> {
    fn feed(&mut self, restorer: &mut Restorer) -> Result<(), Box<dyn Error>> {
        loop {
            if let Some(opener) = &mut self.opener
                && let Some(record) = opener.next_record()?
            {
                restorer.feed_owned(record);
                return Ok(());
            }
            let piece = piece(&self.state.bytes, self.at, PIECE_BYTES, self.bit);
            self.at += piece.len();
            match &mut self.opener {
                Some(opener) if piece.is_empty() => {
                    opener.finish()?;
                    restorer.finish();
                    return Ok(());
                }
                Some(opener) => opener.feed(&piece),
                None if piece.is_empty() => {
                    restorer.finish();
                    return Ok(());
                }
                None => {
                    restorer.feed(&piece);
                    return Ok(());
                }
            }
        }
    }
}
