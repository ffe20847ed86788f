//! From the reset to the image's first instruction.

use crate::board;
use core::arch::asm;
use core::panic::PanicInfo;
use core::ptr::{copy_nonoverlapping, slice_from_raw_parts, with_exposed_provenance_mut};
use godwit_regs::boot::Booted;
use godwit_regs::crash::{Cause, Core, REGISTERS};
use godwit_slots::{Choice, Flash, Refusal, Slot};
use riscv::register::{mcause, mepc, mtval};

#[riscv_rt::entry]
fn main() -> ! {
    let flash = Flash::new(board::flash(), &board::PLACE);
    let decision = flash.decide();
    let choice = match decision.choice {
        Ok(choice) => choice,
        Err([a, b]) => end(Cause::NoImage { a: a.code(), b: b.code() }),
    };
    let copy = load(flash.payload(&choice), &choice);
    // What was checked lay in the flash, and what starts lies in RAM.
    if !choice.header.is_payload(copy) {
        let (hash, other) = (Refusal::Hash.code(), choice.other.map_or(0, Refusal::code));
        end(match choice.slot {
            Slot::A => Cause::NoImage { a: hash, b: other },
            Slot::B => Cause::NoImage { a: other, b: hash },
        });
    }
    board::window().note_booted(Booted {
        slot: choice.slot.number(),
        version: choice.header.version.parts(),
        security_version: choice.header.security_version,
        guard: decision.guard(),
        other: choice.other.map_or(0, Refusal::code),
    });
    start(choice.header.entry as usize)
}

/// Copies a payload to where it runs.
fn load(payload: &[u8], choice: &Choice) -> &'static [u8] {
    let to = with_exposed_provenance_mut::<u8>(choice.header.load as usize);
    // SAFETY: a choice was checked: header and payload lie within the board's memory for images,
    // which the linker script keeps clear of this program's own and the flash is no part of.
    unsafe { copy_nonoverlapping(payload.as_ptr(), to, payload.len()) };
    let copy = slice_from_raw_parts(to.cast_const(), payload.len());
    // SAFETY: the bytes were just written, and nothing writes there until the image runs.
    unsafe { &*copy }
}

/// Jumps to the image. Its own start-up sets up everything, as after a reset: this core has been
/// in machine mode with interrupts disabled all the time.
fn start(entry: usize) -> ! {
    // SAFETY: what lies at the entry was checked and is no memory of this program, which ends
    // here; the fence makes the core fetch what was just written.
    unsafe {
        asm!(
            "fence.i",
            "csrr a0, mhartid",
            "li a1, 0",
            "jr a2",
            in("a2") entry,
            options(noreturn)
        )
    }
}

/// Leaves a crash record, tells the host to look, and stands still.
fn end(cause: Cause) -> ! {
    board::window().leave(cause, Core::RiscV, &[0; REGISTERS]);
    board::ring();
    loop {
        riscv::asm::wfi();
    }
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    end(Cause::Panic { line: info.location().map_or(0, |location| location.line()) })
}

// SAFETY: the start-up code looks for this name and this signature.
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception(_frame: &riscv_rt::TrapFrame) -> ! {
    end(Cause::Exception {
        number: mcause::read().code() as u32,
        at: mepc::read() as u64,
        value: mtval::read() as u64,
    })
}
