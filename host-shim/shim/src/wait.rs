//! Waiting for an answer, where nothing else is to go on meanwhile.

use crate::host::{Answer, Host, Pending};
use godwit_wire::mailbox::Reject;
use std::time::Instant;

/// Whoever waits for an answer looks again after so long: an alarm may be set for any time.
const WAIT_STEP_NS_MAX: u64 = 1_000_000_000;
/// How often somebody else's firmware may take as long as it may before it has answered a command.
const PATIENCES_MAX: u32 = 4;

impl Host {
    /// Lets time pass until a command is answered. Never is a bug, unless the firmware is gone, or
    /// somebody else's: that is gone then, too.
    pub(crate) fn wait(&mut self, pending: &Pending) -> Result<(), Reject> {
        let began = Instant::now();
        let patience = self.card().patience();
        for _ in 0..1_000_000 {
            // Each call may be answered as late as can be.
            if patience.is_some_and(|most| began.elapsed() > most.saturating_mul(PATIENCES_MAX)) {
                break;
            }
            self.settle();
            match self.poll_answer(pending) {
                Answer::Done => return Ok(()),
                Answer::Refused(why) => return Err(why),
                Answer::Void => return Err(Reject::WrongPhase),
                Answer::Waiting if self.card().is_lost() => return Err(Reject::Deadline),
                Answer::Waiting => {
                    let now_ns = self.now_ns();
                    let next_ns = self.card().gpu().next_event_ns().unwrap_or(now_ns + 1_000);
                    self.run(next_ns.min(now_ns + WAIT_STEP_NS_MAX));
                }
            }
        }
        // That of somebody else's microcontroller may say nothing, or anything.
        if self.card_mut().give_up() {
            return Err(Reject::Deadline);
        }
        let lost: Vec<String> =
            self.card().losses().iter().map(|(_, loss)| loss.to_string()).collect();
        panic!("a command of start-up is never answered; firmware that was lost: {lost:?}");
    }
}
