//! One answer, for a thread that waits for it. The channels of the standard library would do, but
//! leave something with each thread that has waited, which in a C program's first thread is a leak.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
enum State<T> {
    Waiting,
    Given(T),
    /// Nobody will give it.
    Dropped,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Shared<T> {
    /// A value is put there whole or not at all, whatever panics.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who gives the answer.
#[derive(Debug)]
pub(crate) struct Answer<T>(Arc<Shared<T>>);

/// Who waits for it.
#[derive(Debug)]
pub(crate) struct Question<T>(Arc<Shared<T>>);

/// Both ends of one.
pub(crate) fn answer<T>() -> (Answer<T>, Question<T>) {
    let shared = Shared { state: Mutex::new(State::Waiting), changed: Condvar::new() };
    let shared = Arc::new(shared);
    (Answer(Arc::clone(&shared)), Question(shared))
}

impl<T> Answer<T> {
    /// Gives it.
    pub(crate) fn give(self, value: T) {
        *self.0.lock() = State::Given(value);
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Waiting) {
            *state = State::Dropped;
        }
        self.0.changed.notify_one();
    }
}

impl<T> Question<T> {
    /// Waits for it. `None`: nobody will give it.
    pub(crate) fn wait(self) -> Option<T> {
        let mut state = self.0.lock();
        loop {
            match std::mem::replace(&mut *state, State::Waiting) {
                State::Given(value) => return Some(value),
                State::Dropped => return None,
                State::Waiting => {
                    let waited = self.0.changed.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_from_another_thread_or_is_known_not_to() {
        let (given, question) = answer();
        std::thread::spawn(move || given.give(7));
        assert_eq!(question.wait(), Some(7));
        let (dropped, question) = answer::<u32>();
        std::thread::spawn(move || drop(dropped));
        assert_eq!(question.wait(), None);
    }
}
