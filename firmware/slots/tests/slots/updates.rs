//! Updates that are interrupted: what boots afterwards.

use crate::support::{Gone, Memory, image};
use godwit_regs::flash::{SLOT_A_AT, SLOT_B_AT, STATE_A_AT, STATE_B_AT};
use godwit_slots::{HEADER_BYTES, Medium as _, Refusal, Slot, Update, UpdateRefusal};

/// Image 1 in slot a, image 2 in slot b, which boots.
fn two_images() -> Memory {
    let mut memory = Memory::new();
    memory.install(Slot::A, &image(1, 1));
    memory.install(Slot::B, &image(2, 2));
    assert_eq!(memory.boots(), Some((Slot::B, 2)));
    memory
}

#[test]
fn each_update_boots_and_the_other_slot_stays() {
    let mut memory = Memory::new();
    assert_eq!(memory.flash().decide().choice, Err([Refusal::Empty; 2]));
    for patch in 1..20 {
        let slot = if patch % 2 == 0 { Slot::A } else { Slot::B };
        memory.install(slot, &image(patch, 0));
        assert_eq!(memory.boots(), Some((slot, patch)));
    }
    assert_eq!(memory.flash().state().unwrap().sequence, 20);
    assert_eq!(memory.flash().decide().a.unwrap().version.patch, 18);
}

/// What boots after an update that is interrupted at any byte.
fn interrupted(before: &Memory, slot: Slot, old: Option<(Slot, u16)>) {
    let file = image(3, 3);
    let (update, _) = Update::install(&before.flash(), slot, &file).unwrap();
    let bytes = HEADER_BYTES + file.len() + 32;
    let new = Some((slot, 3));
    let mut new_from = bytes;
    for power in 0..=bytes {
        let mut memory = Memory { power, ..before.clone() };
        let end = update.perform(&mut memory);
        assert_eq!(end, if power < bytes { Err(Gone) } else { Ok(()) });
        let boots = memory.boots();
        assert!(boots == old || boots == new, "{boots:?} after {power} bytes");
        if boots == new {
            new_from = new_from.min(power);
        }
        assert!(boots == new || power < new_from, "the new image went away again at {power}");
        // And what is there can be mended by doing it again.
        memory.power = usize::MAX;
        memory.install(slot, &file);
        assert_eq!(memory.boots(), new, "after {power} bytes");
    }
}

#[test]
fn an_interruption_at_any_byte_leaves_the_other_slot_or_the_new_image() {
    interrupted(&two_images(), Slot::A, Some((Slot::B, 2)));
    // The first one of all.
    interrupted(&Memory::new(), Slot::A, None);
    interrupted(&Memory::new(), Slot::B, None);
}

#[test]
fn the_slot_that_boots_can_be_written_while_the_other_one_is_right() {
    let before = two_images();
    let file = image(3, 3);
    let (update, _) = Update::install(&before.flash(), Slot::B, &file).unwrap();
    for power in 0..HEADER_BYTES + file.len() + 32 {
        let mut memory = Memory { power, ..before.clone() };
        assert_eq!(update.perform(&mut memory), Err(Gone));
        let boots = memory.boots().unwrap();
        let old = if power == 0 { (Slot::B, 2) } else { (Slot::A, 1) };
        assert!(boots == old || boots == (Slot::B, 3), "{boots:?} after {power} bytes");
    }
}

/// A write that is interrupted may have reached the flash in any part: its sectors have no order.
#[test]
fn a_torn_write_leaves_the_other_slot_or_the_new_image() {
    let before = two_images();
    let (old, file) = (image(1, 1), image(3, 3));
    let (header, payload) = file.split_at(HEADER_BYTES);
    let (update, _) = Update::install(&before.flash(), Slot::A, &file).unwrap();
    let record = update.state().record();
    let steps: [(usize, &[u8]); 4] = [
        (SLOT_A_AT, &[0; HEADER_BYTES]),
        (SLOT_A_AT + HEADER_BYTES, payload),
        (SLOT_A_AT, header),
        (before.flash().next_state_at(), &record),
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for torn in 0..steps.len() {
        for _ in 0..200 {
            let mut memory = before.clone();
            for (at, bytes) in &steps[..torn] {
                memory.write(*at, bytes).unwrap();
            }
            let (at, bytes) = steps[torn];
            for (offset, chunk) in (at..).step_by(16).zip(bytes.chunks(16)) {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                if seed & 1 == 0 {
                    memory.write(offset, chunk).unwrap();
                }
            }
            let boots = memory.boots();
            let new = boots == Some((Slot::A, 3)) && torn == 3;
            assert!(boots == Some((Slot::B, 2)) || new, "{boots:?} in step {torn}");
        }
    }
    let mut whole = before.clone();
    update.perform(&mut whole).unwrap();
    assert_ne!(whole.bytes[SLOT_A_AT..][..old.len()], old[..]);
    let by_steps = steps.iter().fold(before.clone(), |mut memory, (at, bytes)| {
        memory.put(*at, bytes);
        memory
    });
    assert!(whole.bytes == by_steps.bytes, "the steps here are those of an update");
}

#[test]
fn what_would_not_boot_is_not_written() {
    let mut memory = two_images();
    let refusal = |memory: &Memory, slot, file: &[u8]| {
        Update::install(&memory.flash(), slot, file).unwrap_err()
    };
    let mut damaged = image(3, 3);
    damaged[HEADER_BYTES] ^= 1;
    assert_eq!(refusal(&memory, Slot::A, &damaged), UpdateRefusal::Image(Refusal::Hash));
    let (confirm, slot, _) = Update::confirm(&memory.flash()).unwrap();
    assert_eq!((slot, confirm.state().guard), (Slot::B, 2));
    confirm.perform(&mut memory).unwrap();
    // What the guard has passed does not boot, wherever it lies.
    let rolled_back = UpdateRefusal::Image(Refusal::RolledBack);
    assert_eq!(refusal(&memory, Slot::A, &image(9, 1)), rolled_back);
    let decision = memory.flash().decide();
    assert_eq!((decision.a, decision.guard()), (Err(Refusal::RolledBack), 2));
    // Now slot b is all that boots.
    assert_eq!(refusal(&memory, Slot::B, &image(3, 3)), UpdateRefusal::OnlyImage(Slot::B));
    memory.install(Slot::A, &image(3, 3));
    memory.put(SLOT_A_AT + HEADER_BYTES, &[0]);
    assert_eq!(memory.boots(), Some((Slot::B, 2)));
    memory.put(SLOT_B_AT + HEADER_BYTES, &[0]);
    let neither = UpdateRefusal::NothingBoots([Refusal::Hash; 2]);
    assert_eq!(Update::confirm(&memory.flash()).unwrap_err(), neither);
}

#[test]
fn a_confirmation_that_is_interrupted_leaves_one_of_both_states() {
    let before = two_images();
    let (update, ..) = Update::confirm(&before.flash()).unwrap();
    for power in 0..32 {
        let mut memory = Memory { power, ..before.clone() };
        assert_eq!(update.perform(&mut memory), Err(Gone));
        assert_eq!(memory.boots(), Some((Slot::B, 2)));
        assert!([0, 2].contains(&memory.flash().decide().guard()));
    }
}

#[test]
fn without_a_state_or_a_key_nothing_is_guessed() {
    let mut memory = two_images();
    memory.put(STATE_A_AT, &[0; 32]);
    memory.put(STATE_B_AT, &[0; 32]);
    assert_eq!((memory.flash().state(), memory.boots()), (None, Some((Slot::B, 2))));
    memory.put(godwit_regs::flash::KEY_AT, &[0; 8]);
    assert_eq!(memory.flash().decide().choice, Err([Refusal::Key; 2]));
    let none = Update::install(&memory.flash(), Slot::A, &image(3, 3)).unwrap_err();
    assert_eq!(none, UpdateRefusal::Image(Refusal::Key));
}
