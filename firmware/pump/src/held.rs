//! What waits to be taken.

use heapless::Vec;

/// One thing, or nothing. Unlike in an `Option`, nothing is all zeros whatever the thing is: see
/// [`Engine::new`](godwit_engine::Engine::new).
#[derive(Debug)]
pub(crate) struct Held<T>(Vec<T, 1, u8>);

impl<T> Held<T> {
    pub(crate) const NOTHING: Self = Self(Vec::new());

    pub(crate) fn is_there(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// To look at.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.first()
    }

    /// Holds nothing.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Holds this one instead of what was there.
    pub(crate) fn put(&mut self, thing: T) {
        self.0.clear();
        let _ = self.0.push(thing); // there is room for one
    }
}
