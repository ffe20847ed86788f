//! Entries of the ring of switches.

use crate::table::{Value, fields, numbers, variants};
use godwit_types::{Gfid, PreemptMode, RunlistId, Switch, SwitchCause, TsgId};

fields! {
    /// `switch.what`.
    what {
        /// Whose group it was.
        GFID @ 0, 6;
        /// Which engine it has left.
        RUNLIST @ 6, 2;
        /// Why.
        CAUSE @ 8, 4: super::CAUSES;
        /// At which boundary.
        MODE @ 12, 2: super::MODES;
        /// Which group it was.
        TSG @ 16, 11;
    }
}

const CAUSES: &[Value] = variants!(SwitchCause: Idle, Slice, Stop, Hint, Recall, Reset);

numbers! {
    /// Values of `switch.what.MODE`.
    MODES {
        NONE = 0;
        WFI = 1;
        CTA = 2;
        INSTRUCTION = 3;
    }
}

/// Encodes `switch.what`.
pub const fn encode_what(switch: &Switch) -> u32 {
    let mode = match switch.mode {
        None => NONE,
        Some(PreemptMode::Wfi) => WFI,
        Some(PreemptMode::Cta) => CTA,
        Some(PreemptMode::Instruction) => INSTRUCTION,
    };
    what::GFID.put(switch.gfid.raw() as u32)
        | what::RUNLIST.put(switch.runlist.raw() as u32)
        | what::CAUSE.put(switch.cause as u32)
        | what::MODE.put(mode)
        | what::TSG.put(switch.tsg.raw() as u32)
}

/// Reads an entry: `what`, time, and the four lengths. `None` when it is none.
pub const fn parse(raw: u32, at_ns: u64, lengths: [u32; 4]) -> Option<Switch> {
    let [run_ns, slice_ns, preempt_ns, debt_ns] = lengths;
    let mode = match what::MODE.take(raw) {
        WFI => Some(PreemptMode::Wfi),
        CTA => Some(PreemptMode::Cta),
        INSTRUCTION => Some(PreemptMode::Instruction),
        _ => None,
    };
    match (
        RunlistId::new(what::RUNLIST.take(raw) as u8),
        Gfid::new(what::GFID.take(raw) as u8),
        TsgId::new(what::TSG.take(raw) as u16),
        SwitchCause::new(what::CAUSE.take(raw) as u8),
    ) {
        (Some(runlist), Some(gfid), Some(tsg), Some(cause)) => Some(Switch {
            at_ns,
            runlist,
            gfid,
            tsg,
            cause,
            mode,
            run_ns,
            slice_ns,
            preempt_ns,
            debt_ns,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_reads_back_as_written() {
        let causes = (0..=u8::MAX).filter_map(SwitchCause::new);
        let modes = [None, Some(PreemptMode::Wfi), Some(PreemptMode::Cta)];
        for (cause, mode) in causes.flat_map(|cause| modes.map(|mode| (cause, mode))) {
            let switch = Switch {
                at_ns: u64::MAX,
                runlist: RunlistId::COPY,
                gfid: Gfid::new(32).unwrap(),
                tsg: TsgId::new(2047).unwrap(),
                cause,
                mode,
                run_ns: 1,
                slice_ns: 2,
                preempt_ns: 3,
                debt_ns: u32::MAX,
            };
            let raw = encode_what(&switch);
            assert_eq!(parse(raw, u64::MAX, [1, 2, 3, u32::MAX]), Some(switch));
        }
        assert_eq!(parse(0, 0, [0; 4]), None);
    }
}
