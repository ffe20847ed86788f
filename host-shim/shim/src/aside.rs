//! What waits for a disk, while whoever wants it goes on.

use std::io;
use std::panic::resume_unwind;
use std::thread::{Builder, JoinHandle};

/// Something that is done now, or on a thread of its own.
#[derive(Debug)]
pub(crate) enum Aside<T> {
    /// It is done. `None`: its result was taken.
    Done(Option<T>),
    /// It is under way. `None`: it is taken.
    UnderWay(Option<JoinHandle<T>>),
}

impl<T: Send + 'static> Aside<T> {
    /// Does it. `aside`: on a thread of its own, without being waited for.
    ///
    /// # Errors
    ///
    /// When the system has no thread for it. Nothing was done, and what it had is dropped.
    pub(crate) fn begin(
        aside: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Self> {
        if !aside {
            return Ok(Self::Done(Some(work())));
        }
        let thread = Builder::new().name("godwit-disk".into()).spawn(work)?;
        Ok(Self::UnderWay(Some(thread)))
    }

    /// Its result, once it is there.
    pub(crate) fn take(&mut self) -> Option<T> {
        match self {
            Self::Done(result) => result.take(),
            Self::UnderWay(thread) => {
                let done = thread.take_if(|it| it.is_finished())?;
                Some(done.join().unwrap_or_else(|panic| resume_unwind(panic)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn what_is_done_aside_is_not_waited_for() {
        let (go, wait) = channel();
        let mut aside = Aside::begin(true, move || wait.recv().unwrap()).unwrap();
        assert_eq!(aside.take(), None);
        go.send(7).unwrap();
        let result = std::iter::repeat_with(|| aside.take()).flatten().next();
        assert_eq!((result, aside.take()), (Some(7), None));
    }

    #[test]
    fn what_is_done_at_once_is_there() {
        let mut aside = Aside::begin(false, || 7).unwrap();
        assert_eq!((aside.take(), aside.take()), (Some(7), None));
    }
}
