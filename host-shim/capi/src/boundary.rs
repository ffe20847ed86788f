//! What every call goes through: no panic leaves it, and the thread has its last message.

use crate::failure::Failure;
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(panic = "abort")]
compile_error!("a panic must not end the program that uses this library: build it with unwinding");

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Runs a call, and makes its result what C gets: a number of its own, from 0 on, or a negative
/// error number.
pub(crate) fn call(body: impl FnOnce() -> Result<i64, Failure>) -> i64 {
    let result = guarded(body).and_then(|result| result);
    let (number, message) = match result {
        Ok(number) => (number, String::new()),
        Err(Failure { errno, why }) => (-i64::from(errno.raw_os_error()), why),
    };
    set_last(message);
    number
}

/// The same for calls that have no number to tell but 0 and 1.
pub(crate) fn status(body: impl FnOnce() -> Result<i32, Failure>) -> i32 {
    // Neither small numbers nor error numbers need more.
    call(|| body().map(i64::from)) as i32
}

/// The same for calls that have nothing to tell.
pub(crate) fn done(body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    status(|| body().map(|()| 0))
}

/// Runs something that may have a bug.
pub(crate) fn guarded<T>(body: impl FnOnce() -> T) -> Result<T, Failure> {
    // Whoever is left half changed by it is not used any more, or holds plain values only.
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| Failure::broken(told(&*payload)))
}

/// What a panic has said.
fn told(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

fn set_last(message: String) {
    let message = CString::new(message.replace('\0', "?")).unwrap_or_default();
    // A thread that ends has no message any more.
    let _ = LAST.try_with(|last| *last.borrow_mut() = message);
}

/// The message of the thread's last call: empty if there is none.
pub(crate) fn last() -> *const c_char {
    const NONE: &CStr = c"";
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(NONE.as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    fn message() -> String {
        LAST.with(|last| last.borrow().to_str().unwrap().to_owned())
    }

    #[test]
    fn a_panic_is_an_error_with_a_message() {
        let lost = -Errno::NOTRECOVERABLE.raw_os_error();
        assert_eq!(done(|| panic!("no {}", "way")), lost);
        assert!(message().ends_with("no way"), "{}", message());
        assert_eq!(done(|| std::panic::panic_any(7)), lost);
        assert_eq!(done(|| Ok(())), 0);
        assert_eq!(message(), "");
    }

    #[test]
    fn a_message_is_the_threads_own() {
        assert_eq!(done(|| Err(Failure::value("a\0b"))), -Errno::INVAL.raw_os_error());
        std::thread::spawn(|| assert_eq!(message(), "")).join().unwrap();
        assert_eq!(message(), "a?b");
    }

    #[test]
    fn numbers_pass() {
        assert_eq!(call(|| Ok(i64::MAX)), i64::MAX);
        assert_eq!(status(|| Ok(1)), 1);
    }
}
