//! The ring of switches, as the host reads it.

use super::rig::{Rig, STEP_NS, gfid, tsg};
use super::verdict::{Fact, Verdict, differ, holds, nothing, same};
use super::{Bench, SwitchRead, rules};
use godwit_hal::{Interrupts, Telemetry};
use godwit_regs::map::SWITCH_ENTRIES;
use godwit_types::{PreemptMode, RunlistId, Switch, SwitchCause};

rules!("switches":
    a_switch_is_read_once_as_it_was_recorded,
    switches_come_in_order_for_many_rounds,
    a_host_that_comes_late_finds_the_newest_and_how_many_it_missed,
    switches_before_and_after_a_restart_are_one_row,
);

/// A switch that is no other one's.
fn switch(number: u32) -> Switch {
    const MODES: [Option<PreemptMode>; 4] =
        [None, Some(PreemptMode::Wfi), Some(PreemptMode::Cta), Some(PreemptMode::Instruction)];
    let place = number as usize % MODES.len();
    Switch {
        at_ns: u64::from(number) * 0x1_0000_0001,
        runlist: if number.is_multiple_of(2) { RunlistId::COMPUTE } else { RunlistId::COPY },
        gfid: gfid((number % 3) as u16),
        tsg: tsg((number % 24) as u16),
        cause: SwitchCause::new((number / 4 % 6) as u8).unwrap_or(SwitchCause::Idle),
        mode: MODES.get(place).copied().flatten(),
        run_ns: number,
        slice_ns: !number,
        preempt_ns: number.rotate_left(8),
        debt_ns: number.rotate_left(16),
    }
}

fn record<B: Bench>(rig: &mut Rig<'_, B>, number: u32) {
    rig.hardware().record(&switch(number));
}

/// The host finds this switch next.
fn reads<B: Bench>(rig: &mut Rig<'_, B>, number: u32) -> Verdict {
    let expected = SwitchRead::Switch(switch(number));
    same("the next switch", rig.bench.next_switch(), Some(expected))
}

fn a_switch_is_read_once_as_it_was_recorded<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    nothing("a switch that was not recorded", rig.bench.next_switch())?;
    // Every cause comes with every mode.
    for number in 0..24 {
        record(rig, number);
        reads(rig, number)?;
        nothing("the switch again", rig.bench.next_switch())?;
    }
    Ok(())
}

fn switches_come_in_order_for_many_rounds<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for number in (0..5 * SWITCH_ENTRIES).step_by(3) {
        (number..number + 3).for_each(|number| record(rig, number));
        for number in number..number + 3 {
            reads(rig, number)?;
        }
    }
    nothing("a switch after the last", rig.bench.next_switch())
}

fn a_host_that_comes_late_finds_the_newest_and_how_many_it_missed<B: Bench>(
    rig: &mut Rig<'_, B>,
) -> Verdict {
    const COUNT: u32 = 3 * SWITCH_ENTRIES + 7;
    (0..COUNT).for_each(|number| record(rig, number));
    let (mut next, mut read) = (0, 0);
    while let Some(found) = rig.bench.next_switch() {
        match found {
            SwitchRead::Overrun(0) => return holds("an overrun of none", false),
            SwitchRead::Overrun(count) => next += count,
            SwitchRead::Switch(found) => {
                let expected = Fact::Switch(SwitchRead::Switch(switch(next)));
                let found = Fact::Switch(SwitchRead::Switch(found));
                if found != expected {
                    return Err(differ("the switch after those that were missed", found, expected));
                }
                (next, read) = (next + 1, read + 1);
            }
        }
    }
    same("switches, read or missed", next, COUNT)?;
    holds("switches that are still there", (1..=SWITCH_ENTRIES).contains(&read))
}

fn switches_before_and_after_a_restart_are_one_row<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for number in 0..4 {
        record(rig, number);
        rig.bench.restart();
        rig.bench.pass(STEP_NS);
        rig.hardware().collect();
    }
    for number in 0..4 {
        reads(rig, number)?;
    }
    nothing("a switch after the last", rig.bench.next_switch())
}
