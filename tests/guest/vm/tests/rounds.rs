//! Goal: what is done to a device behind the guest's back does not pass its rounds. Method: rounds
//! on a simulated GPU in this process, which is harmed.

mod support;

use godwit_guest::Bars as _;
use godwit_regs::guest::{ChannelRegister, channel_offset};
use godwit_types::GuestChannelId;
use godwit_vm_guest::{Guest as _, Round, Rounds};
use support::{Harm, HostGuest};

/// Rounds before something is done to the device.
const BEFORE: u64 = 2;
/// Vectors, and places in the guest's memory, as the rounds have them.
const KERNEL_VECTOR: u8 = 1;
const COPY_VECTOR: u8 = 2;
const BACK_AT: u64 = 1 << 20;
const COMPLETIONS_AT: u64 = 2 << 20;
/// Copies of a round.
const COPIES: u64 = 4;
/// Where the counter is in the aperture.
const COUNTER_AT: u64 = 30 << 20;

fn begun() -> (HostGuest, Rounds) {
    let mut guest = HostGuest::new();
    let mut rounds = Rounds::new(&mut guest).unwrap();
    for number in 1..=BEFORE {
        let round = rounds.round(&mut guest).unwrap();
        assert_eq!((round.round, round.lost_wakeups), (number, 0));
        assert!(round.errors.is_empty(), "{round:?}");
    }
    (guest, rounds)
}

/// The round in which something is wrong, and the one after.
fn harmed(harm: impl FnOnce(&mut HostGuest)) -> (Round, Round) {
    let (mut guest, mut rounds) = begun();
    harm(&mut guest);
    let bad = rounds.round(&mut guest).unwrap();
    guest.mend();
    (bad, rounds.round(&mut guest).unwrap())
}

/// What was wrong, once, of which the next round knows nothing.
fn found(what: &str, harm: impl FnOnce(&mut HostGuest)) {
    let (bad, next) = harmed(harm);
    assert!(bad.errors.len() == 1 && bad.errors[0].contains(what), "{what}: {:?}", bad.errors);
    assert!(next.errors.is_empty(), "{what}: {next:?}");
}

#[test]
fn a_sound_device_passes_and_all_is_counted() {
    let (mut guest, mut rounds) = begun();
    let count = 12;
    let mut last = Round::default();
    while last.round < count {
        last = rounds.round(&mut guest).unwrap();
        assert!(last.errors.is_empty() && last.lost_wakeups == 0, "{last:?}");
    }
    assert_eq!((last.kernels, last.copies), (3 * count, COPIES * count));
    assert_eq!(u64::from(last.completions), COPIES * count);
}

#[test]
fn a_wake_up_that_is_lost_is_counted() {
    for vector in [KERNEL_VECTOR, COPY_VECTOR] {
        let (bad, next) = harmed(|guest| guest.harm(Harm::NoVector(vector)));
        assert!(bad.lost_wakeups > 0 && bad.errors.is_empty(), "{bad:?}");
        assert_eq!(next.lost_wakeups, bad.lost_wakeups, "the next has none");
    }
}

#[test]
fn a_byte_that_a_kernel_leaves_wrong_is_found() {
    found("its bytes are wrong", |guest| guest.harm(Harm::Data));
}

#[test]
fn a_byte_that_a_copy_leaves_wrong_is_found() {
    found("come back wrong, from byte Some(3) on", |guest| guest.harm(Harm::Memory(BACK_AT + 3)));
}

#[test]
fn a_completion_that_is_missing_or_comes_again_is_found() {
    let next = BEFORE * COPIES + 1;
    let slot = move |number: u64| COMPLETIONS_AT + number * 4;
    found("completion 9 is missing", |guest| guest.harm(Harm::Memory(slot(next))));
    found("completion 5 came again", |guest| guest.dma_write(slot(5), &[5, 0, 0, 0]).unwrap());
}

#[test]
fn counters_that_are_not_what_they_were_are_found() {
    let last = GuestChannelId::new(7).unwrap();
    let register = channel_offset(last, ChannelRegister::RingLo);
    found("the counter in BAR0 is 1, and was 2", |guest| guest.write32(register, 1).unwrap());
    found("the counter in BAR2 is 3, and was 2", |guest| {
        guest.write(COUNTER_AT, &[3, 0, 0, 0]).unwrap();
    });
}

#[test]
fn memory_that_the_device_does_not_reach_is_found() {
    let (bad, _) = harmed(|guest| guest.harm(Harm::NoWindow));
    assert!(bad.errors.iter().any(|error| error.contains("has stopped")), "{bad:?}");
}
