//! The few instructions that Rust has no words for.

#[cfg(target_os = "none")]
core::arch::global_asm!(include_str!("../start.S"));

/// Number of the environment call that waits for the block.
#[cfg(target_os = "none")]
const ECALL_BARRIER: u64 = 1000;

/// Waits for the other threads of the block.
#[cfg(target_os = "none")]
pub(crate) fn barrier() {
    // SAFETY: the call comes back at the next instruction, on the same stack. What other threads
    // wrote meanwhile lies in atomic words, and the block does not promise to leave memory alone.
    unsafe {
        core::arch::asm!(
            "ecall",
            in("a7") ECALL_BARRIER,
            lateout("a0") _,
            options(nostack),
        );
    }
}

/// Kernels are also compiled on hosts, to be checked; they do not run there.
#[cfg(not(target_os = "none"))]
pub(crate) fn barrier() {
    panic!("only a thread on the GPU has a block to wait for");
}

/// Faults the channel, so that a panic cannot pass for the end of a thread.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: an illegal instruction, behind which nothing of this thread runs again.
    unsafe { core::arch::asm!("unimp", options(noreturn, nomem, nostack)) }
}
