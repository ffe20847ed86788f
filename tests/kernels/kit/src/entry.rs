//! From start-up to the kernel's function.

use crate::Thread;

/// Makes a function the kernel that this program is.
///
/// The function has the shape `fn(&Thread, [u64; N])`: it gets the first `N`
/// words of the argument block, and whoever launches the kernel gives at least
/// as many. A thread ends when it returns. A program has one kernel.
///
/// The program is `#![no_std]` and `#![no_main]` on the GPU.
#[macro_export]
macro_rules! kernel {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn kernel_main(cx: &$crate::Thread) {
            // SAFETY: start-up made `cx` for this thread, and the launch gives the words that
            // the kernel asks for.
            unsafe { $crate::enter(cx, $main) }
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            panic!("this program is a kernel: it runs on the GPU");
        }
    };
}

/// Runs `main` with the arguments it asks for. For [`kernel!`] alone.
///
/// # Safety
///
/// `cx` comes from start-up, and the argument block has `N` words.
pub unsafe fn enter<const N: usize>(cx: &Thread, main: fn(&Thread, [u64; N])) {
    let args = core::ptr::with_exposed_provenance::<[u64; N]>(cx.args());
    // SAFETY: the caller promises `N` words there; nobody writes them while the kernel runs.
    let args = unsafe { args.read() };
    main(cx, args);
}
