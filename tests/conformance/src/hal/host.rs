//! Mailbox, attention, retained memory.

use super::rig::Rig;
use super::verdict::{Verdict, holds, needs, nothing, same};
use super::{Bench, rules};
use embedded_hal::digital::OutputPin;
use godwit_hal::{
    Attention, Interrupts, MESSAGE_BYTES_MAX, MESSAGES_MAX, Mailbox, RETAINED_BYTES, Retained,
    RetainedSlot,
};

rules!("mailbox, attention, retained":
    each_side_learns_the_others_version,
    commands_come_whole_and_in_order_for_many_rounds,
    a_command_makes_something_pending,
    a_command_that_claims_to_be_too_long_is_cut,
    events_go_whole_and_in_order_for_many_rounds,
    an_event_that_is_too_long_is_refused,
    a_full_ring_refuses_until_the_host_takes_one,
    the_attention_line_follows,
    retained_slots_are_apart,
    a_retained_slot_is_written_in_pieces,
    a_slot_gives_no_more_than_is_asked,
);

type Message = [u8; MESSAGE_BYTES_MAX];

/// Bytes that are no other message's.
fn message(number: u32) -> Message {
    core::array::from_fn(|at| (number as usize * 31 + at * 7 + 1) as u8)
}

/// Lengths of messages: each rest of a word, none, and the longest.
fn length(number: u32) -> usize {
    match number % 7 {
        5 => MESSAGE_BYTES_MAX,
        rest => rest as usize * 9,
    }
}

fn each_side_learns_the_others_version<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    same("the host's before it said", rig.hardware().exchange_version(7), 0)?;
    same("the firmware's", rig.bench.host_version(9), 7)?;
    same("the host's", rig.hardware().exchange_version(7), 9)
}

fn commands_come_whole_and_in_order_for_many_rounds<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let mut into = [0; MESSAGE_BYTES_MAX];
    nothing("a command that was not sent", rig.hardware().receive(&mut into))?;
    let mut taken = 0;
    for number in 0..5 * MESSAGES_MAX {
        let sent = rig.bench.send(&message(number)[..length(number)]);
        holds("a command on a ring with room", sent)?;
        // In pairs, so that the ring is not always empty.
        if number % 2 == 1 {
            rig.hardware().collect();
            for _ in 0..2 {
                let found = rig.hardware().receive(&mut into);
                same("length of a command", found, Some(length(taken)))?;
                let whole = into[..length(taken)] == message(taken)[..length(taken)];
                holds("bytes of a command", whole)?;
                taken += 1;
            }
        }
    }
    nothing("a command after the last", rig.hardware().receive(&mut into))
}

fn a_command_makes_something_pending<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    rig.hardware().collect();
    rig.bench.send(&[1]);
    holds("`collect` after a command", rig.hardware().collect())?;
    holds("`collect` while it waits", rig.hardware().collect())
}

fn a_command_that_claims_to_be_too_long_is_cut<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let mut into = [0; MESSAGE_BYTES_MAX];
    for claimed in [MESSAGE_BYTES_MAX as u32 + 1, 4096, u32::MAX] {
        let sent = rig.bench.send_claiming(claimed);
        needs(sent, "the bench sends no command that claims to be too long")?;
        let found = rig.hardware().receive(&mut into);
        same("length of a command that is too long", found, Some(MESSAGE_BYTES_MAX))?;
    }
    rig.bench.send(&message(1)[..9]);
    same("the command after it", rig.hardware().receive(&mut into), Some(9))?;
    holds("its bytes", into[..9] == message(1)[..9])
}

fn events_go_whole_and_in_order_for_many_rounds<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let mut into = [0; MESSAGE_BYTES_MAX];
    let mut taken = 0;
    for number in 0..5 * MESSAGES_MAX {
        let sent = rig.hardware().send(&message(number)[..length(number)]);
        holds("an event on a ring with room", sent.is_ok())?;
        if number % 2 == 1 {
            for _ in 0..2 {
                let found = rig.bench.receive(&mut into);
                same("length of an event", found, Some(length(taken)))?;
                let whole = into[..length(taken)] == message(taken)[..length(taken)];
                holds("bytes of an event", whole)?;
                taken += 1;
            }
        }
    }
    nothing("an event after the last", rig.bench.receive(&mut into))
}

fn an_event_that_is_too_long_is_refused<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let room = rig.hardware().event_room();
    let sent = rig.hardware().send(&[0; MESSAGE_BYTES_MAX + 1]);
    holds("refusal of an event that is too long", sent.is_err())?;
    same("room after it", rig.hardware().event_room(), room)?;
    nothing("the event", rig.bench.receive(&mut [0; MESSAGE_BYTES_MAX]))
}

fn a_full_ring_refuses_until_the_host_takes_one<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    same("room at first", rig.hardware().event_room(), MESSAGES_MAX)?;
    for number in 0..MESSAGES_MAX {
        holds("an event that has room", rig.hardware().send(&message(number)[..4]).is_ok())?;
        same("room", rig.hardware().event_room(), MESSAGES_MAX - 1 - number)?;
    }
    holds("refusal when full", rig.hardware().send(&[1]).is_err())?;
    let mut into = [0; MESSAGE_BYTES_MAX];
    same("the oldest event", rig.bench.receive(&mut into), Some(4))?;
    holds("its bytes", into[..4] == message(0)[..4])?;
    same("room then", rig.hardware().event_room(), 1)?;
    holds("an event that has room again", rig.hardware().send(&[1]).is_ok())
}

fn the_attention_line_follows<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    for high in [true, false, true, true, false] {
        let line = rig.hardware().attention();
        let driven = if high { line.set_high() } else { line.set_low() };
        holds("the line can be driven", driven.is_ok())?;
        same("the line as the host sees it", rig.bench.attention(), high)?;
    }
    Ok(())
}

/// Whether a slot has these bytes at a place.
fn has<H: Retained>(hardware: &H, slot: RetainedSlot, at: usize, bytes: &[u8]) -> bool {
    let mut into = [0xee; 600];
    let into = &mut into[..bytes.len()];
    hardware.load(slot, at, into);
    into == bytes
}

fn retained_slots_are_apart<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let hardware = rig.hardware();
    hardware.store(RetainedSlot::A, 0, &[0xaa; 600]);
    hardware.store(RetainedSlot::B, 0, &[0xbb; 600]);
    holds("the first slot", has(hardware, RetainedSlot::A, 0, &[0xaa; 600]))?;
    hardware.store(RetainedSlot::A, 0, &[0xac; 600]);
    holds("the second slot", has(hardware, RetainedSlot::B, 0, &[0xbb; 600]))
}

fn a_retained_slot_is_written_in_pieces<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let hardware = rig.hardware();
    hardware.store(RetainedSlot::A, 0, &[1; 600]);
    hardware.store(RetainedSlot::A, 8, &[2, 3, 4, 5]);
    holds("what is before the piece", has(hardware, RetainedSlot::A, 0, &[1; 8]))?;
    holds("the piece", has(hardware, RetainedSlot::A, 8, &[2, 3, 4, 5]))?;
    holds("what is after it", has(hardware, RetainedSlot::A, 12, &[1; 588]))?;
    hardware.store(RetainedSlot::A, RETAINED_BYTES - 8, &[7; 8]);
    holds("the last words", has(hardware, RetainedSlot::A, RETAINED_BYTES - 8, &[7; 8]))
}

fn a_slot_gives_no_more_than_is_asked<B: Bench>(rig: &mut Rig<'_, B>) -> Verdict {
    let hardware = rig.hardware();
    hardware.store(RetainedSlot::B, 0, &[9; 64]);
    let mut into = [0; 16];
    hardware.load(RetainedSlot::B, 0, &mut into[..7]);
    holds("bytes past them", into == [9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}
