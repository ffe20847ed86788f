//! Telling someone who waits how far moves are.

use crate::units::about_time;
use godwit_control::{MovePhase, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;

/// Bars that are shown at a time: a server moves no more.
const BARS_MAX: usize = 32;

/// Bars on the terminal, one for each vGPU; nothing where standard error is none. They are gone
/// when this is dropped.
#[derive(Debug)]
pub(super) struct Moves {
    all: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

impl Moves {
    pub(super) fn new() -> Self {
        // It draws nothing by itself where there is no terminal.
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self { all, bars: BTreeMap::new() }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        if !self.bars.contains_key(&progress.vgpu) && self.bars.len() >= BARS_MAX {
            return;
        }
        let bar = self.bars.entry(progress.vgpu.clone()).or_insert_with(|| {
            let template = "{prefix} [{bar:30}] {bytes}/{total_bytes}, {msg}";
            let style = ProgressStyle::with_template(template);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            self.all.add(ProgressBar::new(0).with_style(style).with_prefix(progress.vgpu.clone()))
        });
        bar.set_length(progress.sent_bytes.saturating_add(progress.left_bytes));
        bar.set_position(progress.sent_bytes);
        bar.set_message(message(progress));
    }
}

impl Drop for Moves {
    fn drop(&mut self) {
        // Only the drawing can fail, and nobody is left to be told.
        let _ = self.all.clear();
    }
}

fn message(progress: &Progress) -> String {
    let still = progress
        .downtime_ns
        .map_or_else(String::new, |ns| format!(", would stand still for {}", about_time(ns)));
    match progress.phase {
        MovePhase::Working => "at work".to_owned(),
        MovePhase::Rounds => format!("round {}{still}", progress.rounds),
        MovePhase::Stopped => "stands still".to_owned(),
        MovePhase::Committed => "is being started over there".to_owned(),
        MovePhase::Unlinked => "the link to the other server is made again".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_take_whatever_a_server_says() {
        let mut moves = Moves::new();
        for at in 0..100 {
            moves.show(&Progress {
                vgpu: format!("v{at}"),
                phase: MovePhase::Rounds,
                rounds: u32::MAX,
                sent_bytes: u64::MAX,
                left_bytes: u64::MAX,
                downtime_ns: Some(u64::MAX),
            });
        }
        assert_eq!(moves.bars.len(), BARS_MAX);
    }

    #[test]
    fn a_message_says_how_long_it_would_stand_still() {
        let (vgpu, phase) = ("v".to_owned(), MovePhase::Rounds);
        let (sent_bytes, left_bytes, downtime_ns) = (1, 2, Some(3_000_000));
        let progress = Progress { vgpu, phase, rounds: 2, sent_bytes, left_bytes, downtime_ns };
        assert_eq!(message(&progress), "round 2, would stand still for 3.00ms");
    }
}
