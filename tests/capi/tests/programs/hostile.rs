//! Firmware behind a window that says anything, or nothing: a C program's calls end all the same,
//! with errors that are documented.

use crate::bench::{Bench, succeeds};
use crate::windows::{PAUSE, RESOURCE_AT, file, its};
use godwit_mmio::{AttentionWord, Burst, Callee, Mmio, SharedRetained, SharedWords, Words as _};
use godwit_pump::{Pump, Turn};
use godwit_regs::bits::MAGIC;
use godwit_regs::map::{BLOCKS, identity, intr, mailbox};
use godwit_regs::window::WINDOW_BYTES;
use godwit_sys::WindowFile;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What firmware is like once it has come up and has answered some calls as it should.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// It answers each call at once, and does nothing.
    Idle,
    /// It takes what it is sent, too, and never answers that.
    Mute,
    /// It does its work, and tells that it took it for ever.
    Slow,
    /// It does its work, and writes over any word of the map.
    Mad(u64),
}

/// What is written over, where. One of these sets an alarm for the end of time.
const SEEDS: [u64; 8] = [4, 5, 6, 9, 11, 14, 18, 19];

/// Turns of the loop in one call, at most: words that are written over may keep it busy.
const TURNS_MAX: u32 = 10_000;

/// Numbers that look random (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// Writes over some words of the map.
fn scribble(window: &WindowFile, numbers: &mut Numbers) {
    for _ in 0..numbers.next(4) {
        let block = &BLOCKS[numbers.next(BLOCKS.len() as u64) as usize];
        let register = &block.registers[numbers.next(block.registers.len() as u64) as usize];
        let index = numbers.next(register.count.into()) as usize;
        let offset = register.offset as usize + register.stride as usize * index;
        let Some(word) = window.word(offset) else { continue };
        let value = match numbers.next(4) {
            0 => u32::MAX,
            1 => numbers.next(1 << 32) as u32,
            2 => numbers.next(64) as u32,
            _ => word.load(Ordering::Acquire).wrapping_add(1),
        };
        word.store(value, Ordering::Release);
    }
}

/// Answers calls until nobody needs it: the first ones as firmware does.
fn firmware(words: &SharedWords, window: &WindowFile, manner: Manner, is_over: &AtomicBool) {
    let goes_on = || !is_over.load(Ordering::Relaxed);
    while words.observe(identity::magic()) != MAGIC && goes_on() {
        thread::sleep(PAUSE);
    }
    let callee = Callee::new(words.clone());
    let line = AttentionWord::new(words.clone());
    let mut hal = Mmio::new(words.clone(), line, SharedRetained::default());
    let mut pump = Pump::boot(&mut hal).unwrap();
    let mut numbers = Numbers(if let Manner::Mad(seed) = manner { seed } else { 0 });
    let mut good = 1 + numbers.next(60);
    let (mut works, mut last) = (true, words.observe(intr::rest()));
    while goes_on() {
        let call = callee.call();
        if call == last {
            thread::sleep(PAUSE);
            continue;
        }
        let mut burst = Burst { instructions: 0, turns: 1 };
        if good != 0 || matches!(manner, Manner::Slow | Manner::Mad(_)) {
            // It may end by what it has written itself.
            let turned = catch_unwind(AssertUnwindSafe(|| {
                while works && burst.turns < TURNS_MAX && pump.turn(&mut hal) == Turn::Busy {
                    burst.turns += 1;
                }
            }));
            works &= turned.is_ok();
        }
        if good == 0 {
            misbehave(words, window, manner, (&mut numbers, &mut burst));
        }
        callee.answer(call, burst);
        (last, good) = (call, good.saturating_sub(1));
    }
}

/// What it does beside its work, if it does that.
fn misbehave(
    words: &SharedWords,
    window: &WindowFile,
    manner: Manner,
    (numbers, burst): (&mut Numbers, &mut Burst),
) {
    match manner {
        Manner::Idle => {}
        Manner::Mute => {
            words.publish(mailbox::command_get(), words.observe(mailbox::command_put()));
            words.publish(intr::host_ack(), words.observe(intr::host_bell()));
            words.publish(intr::ack(), words.observe(intr::bell()));
        }
        Manner::Slow => burst.turns = u32::MAX,
        Manner::Mad(_) => {
            scribble(window, numbers);
            if numbers.next(8) == 0 {
                burst.instructions = numbers.next(1 << 32) as u32;
            }
        }
    }
}

fn is_borne(bench: &Bench, program: &Path, manner: Manner) {
    let name = format!("{manner:?}");
    let resource = file(bench, &name, RESOURCE_AT + WINDOW_BYTES as u64);
    let window = WindowFile::open(&resource, RESOURCE_AT, WINDOW_BYTES).unwrap();
    let (words, is_over) = (its(&resource, RESOURCE_AT), AtomicBool::new(false));
    let mut command = bench.unchecked(program);
    command.arg(&resource).arg(RESOURCE_AT.to_string()).arg(bench.path(&format!("{name}.state")));
    thread::scope(|scope| {
        scope.spawn(|| firmware(&words, &window, manner, &is_over));
        let result = catch_unwind(AssertUnwindSafe(|| succeeds(&mut command, "libc6")));
        is_over.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|_| panic!("{manner:?}"));
    });
}

/// Has the program bear with firmware of these manners.
fn are_borne(manners: impl IntoIterator<Item = Manner>) {
    let bench = Bench::new();
    let program = bench.shared("hostile", &["hostile.c", "wrong_handles.c"]);
    for manner in manners {
        is_borne(&bench, &program, manner);
    }
}

#[test]
fn firmware_that_does_nothing_or_says_that_it_took_for_ever_breaks_no_call() {
    are_borne([Manner::Idle, Manner::Slow]);
}

#[test]
fn firmware_that_never_answers_what_it_is_asked_breaks_no_call() {
    are_borne([Manner::Mute]);
}

#[test]
fn firmware_that_writes_over_any_word_breaks_no_call() {
    are_borne(SEEDS.map(Manner::Mad));
}
