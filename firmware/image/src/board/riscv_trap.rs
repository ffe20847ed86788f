//! Traps of a RISC-V core: the guard below the stack, the watchdog's end, and the record that is
//! left.

use crate::crash;
use core::ptr::with_exposed_provenance;
use godwit_regs::crash::{Cause, REGISTERS};
use riscv::register::{
    Permission, Range, mcause, mepc, mie, mscratch, mstatus, mtval, pmpaddr0, pmpcfg0,
};
use riscv_rt::TrapFrame;

// Before the frame is saved: a stack pointer that is not in the stack, because the stack has
// overflown or something has broken it, would trap again and again. The frame then goes to a
// small stack below the guard. `mscratch` keeps where the program's own stack pointer was.
core::arch::global_asm!(
    ".section .trap.start, \"ax\"",
    ".global _pre_default_start_trap",
    ".type _pre_default_start_trap, @function",
    "_pre_default_start_trap:",
    "csrw mscratch, t0",
    "la t0, _stack_guard_end",
    "bltu sp, t0, 1f",
    "la t0, _stack_start",
    "bltu t0, sp, 1f",
    "csrrw t0, mscratch, sp",
    "j _pre_default_start_trap_ret",
    "1: csrrw t0, mscratch, sp",
    "la sp, _stack_guard",
    "j _pre_default_start_trap_ret",
    ".size _pre_default_start_trap, . - _pre_default_start_trap",
);

unsafe extern "C" {
    /// The first byte of the guard, and the end of the small stack below it.
    static _stack_guard: u8;
    /// The first byte of the stack proper.
    static _stack_guard_end: u8;
}

/// Forbids every access to the guard until the next reset, to this program as well.
pub(crate) fn guard_stack() {
    let (from, end) = (&raw const _stack_guard, &raw const _stack_guard_end);
    let (from, bytes) = (from.addr(), end.addr().wrapping_sub(from.addr()));
    // A naturally aligned power of two (NAPOT): the address in words, with as many ones at its
    // end as say how large the range is.
    let napot = (from | (bytes.wrapping_shr(1).wrapping_sub(1))).wrapping_shr(2);
    // SAFETY: nothing but a stack that has overflown is in the range.
    unsafe { pmpaddr0::write(napot) };
    // SAFETY: as above.
    let set = unsafe { pmpcfg0::try_set_pmp(0, Range::NAPOT, Permission::NONE, true) };
    // Every core that has the register has its first entry.
    let _ = set;
}

/// Lets the timer's interrupt in, which is the watchdog's bite.
pub(crate) fn watch() {
    // SAFETY: its handler never returns, so it breaks no critical section.
    unsafe { mie::set_mtimer() };
    // SAFETY: as above; no other interrupt is enabled at the core while it does not sleep.
    unsafe { mstatus::set_mie() };
}

/// Sleeps until the external interrupt is pending, which is taken by nobody.
pub(crate) fn sleep() {
    // SAFETY: this only keeps handlers from running.
    unsafe { mstatus::clear_mie() };
    // SAFETY: interrupts are off in `mstatus`, so no handler ever runs; these only choose what
    // ends a `wfi`.
    unsafe { mie::clear_mtimer() };
    // SAFETY: as above.
    unsafe { mie::set_mext() };
    riscv::asm::wfi();
    // SAFETY: as above.
    unsafe { mie::clear_mext() };
}

/// Stands still, with every interrupt off, the watchdog's too: one that is pending ends a `wfi`.
pub(crate) fn stand() {
    // SAFETY: this only keeps handlers from running.
    unsafe { mstatus::clear_mie() };
    // SAFETY: as above.
    unsafe { mie::clear_mtimer() };
    riscv::asm::wfi();
}

fn registers(frame: &TrapFrame) -> [u64; REGISTERS] {
    let sp = mscratch::read();
    [
        sp,
        frame.ra,
        frame.t0,
        frame.t1,
        frame.t2,
        frame.t3,
        frame.t4,
        frame.t5,
        frame.t6,
        frame.a0,
        frame.a1,
        frame.a2,
        frame.a3,
        frame.a4,
        frame.a5,
        frame.a6,
        frame.a7,
        mstatus::read().bits(),
    ]
    .map(|register| register as u64)
}

fn is_guard(address: usize) -> bool {
    let (from, end) = (&raw const _stack_guard, &raw const _stack_guard_end);
    (from.addr()..end.addr()).contains(&address)
}

// SAFETY: the start-up code looks for this name and this signature.
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception(frame: &TrapFrame) -> ! {
    let (at, value) = (mepc::read() as u64, mtval::read());
    let cause = if is_guard(value) || is_guard(mscratch::read()) {
        Cause::StackOverflow { at, value: value as u64 }
    } else {
        Cause::Exception { number: mcause::read().code() as u32, at, value: value as u64 }
    };
    crash::end(cause, &registers(frame))
}

// The only interrupt that is ever taken is the watchdog's.
// SAFETY: the start-up code looks for this name and this signature.
#[unsafe(export_name = "DefaultHandler")]
extern "C" fn stalled() -> ! {
    // Interrupts come without their frame, which is where the stack pointer was.
    let frame = mscratch::read().wrapping_sub(size_of::<TrapFrame>());
    let frame = with_exposed_provenance::<TrapFrame>(frame);
    let is_there = frame.is_aligned() && frame.addr() >= (&raw const _stack_guard_end).addr();
    let cause = Cause::Stalled { at: mepc::read() as u64 };
    if is_there {
        // SAFETY: it is aligned and above the guard, so the start-up code has just written the
        // frame there, and nothing has run since that would write to it.
        crash::end(cause, &registers(unsafe { &*frame }))
    }
    crash::end(cause, &crash::NO_REGISTERS)
}
