//! The interrupts of a vGPU's function: event descriptors that its client has bound to vectors.

use godwit_sys::{is_eventfd, set_nonblocking, signal_eventfd};
use godwit_types::VECTOR_COUNT;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// Vectors that wait for writes of the device, in groups of those that wait for the same.
const GROUPS_MAX: usize = 64;

/// Vectors that were raised after a write which the guest does not see yet.
#[derive(Clone, Copy, Debug)]
struct Held {
    vectors: u32,
    /// Number of that write.
    after: u64,
}

/// See the module. A bit stands for a vector.
#[derive(Debug, Default)]
pub(crate) struct Irqs {
    bound: [Option<OwnedFd>; VECTOR_COUNT as usize],
    /// Those that the client has masked.
    masked: u32,
    held: VecDeque<Held>,
    /// Those that are signalled once when they are bound and the vGPU runs. After a move nobody
    /// knows which vectors the machine at the source had masked with an interrupt pending: that is
    /// in no state. One too many is harmless, one too few is a wake-up that is lost.
    owed: u32,
}

impl Irqs {
    /// Binds a vector, or unbinds it.
    ///
    /// # Errors
    ///
    /// When it is no event descriptor: whoever writes to another may wait for ever.
    pub(crate) fn bind(&mut self, vector: usize, fd: Option<OwnedFd>) -> Result<(), &'static str> {
        if let Some(fd) = &fd
            && !(is_eventfd(fd) && set_nonblocking(fd).is_ok())
        {
            return Err("an interrupt is bound to a descriptor that is no eventfd");
        }
        if let Some(place) = self.bound.get_mut(vector) {
            *place = fd;
        }
        Ok(())
    }

    /// Unbinds all.
    pub(crate) fn clear(&mut self) {
        *self = Self { owed: self.owed, ..Self::default() };
    }

    pub(crate) fn mask(&mut self, vectors: u32, masked: bool) {
        if masked {
            self.masked |= vectors;
        } else {
            self.masked &= !vectors;
        }
    }

    /// Vectors that can be signalled.
    pub(crate) fn open(&self) -> u32 {
        let bound = self.bound.iter().enumerate().filter(|(_, fd)| fd.is_some());
        bound.fold(0, |all, (vector, _)| all | 1 << vector) & !self.masked
    }

    /// The vGPU has come from elsewhere.
    pub(crate) fn owe_all(&mut self) {
        self.owed = u32::MAX;
    }

    /// Takes those that are owed and can be signalled.
    pub(crate) fn take_owed(&mut self) -> u32 {
        let taken = self.owed & self.open();
        self.owed &= !taken;
        taken
    }

    /// Vectors were taken from the device, whose last write by then was `after`.
    pub(crate) fn hold(&mut self, vectors: u32, after: u64) {
        if vectors == 0 {
            return;
        }
        let full = self.held.len() == GROUPS_MAX;
        match self.held.back_mut().filter(|last| last.after == after || full) {
            Some(last) => *last = Held { vectors: last.vectors | vectors, after },
            None => self.held.push_back(Held { vectors, after }),
        }
    }

    /// Takes held vectors whose writes are done; `oldest`: the oldest write that is not.
    pub(crate) fn take_held(&mut self, oldest: Option<u64>) -> u32 {
        let mut taken = 0;
        while let Some(held) = self.held.front()
            && oldest.is_none_or(|oldest| held.after < oldest)
        {
            taken |= held.vectors;
            self.held.pop_front();
        }
        taken
    }

    /// Signals vectors that are bound.
    pub(crate) fn signal(&self, vectors: u32) {
        for (vector, fd) in self.bound.iter().enumerate() {
            if vectors & 1 << vector != 0
                && let Some(fd) = fd
            {
                // Its client can break it, and then harms itself.
                let _ = signal_eventfd(fd);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_sys::new_eventfd;

    #[test]
    fn only_bound_and_unmasked_vectors_are_open() {
        let mut irqs = Irqs::default();
        for vector in [0, 3, 31] {
            irqs.bind(vector, Some(new_eventfd().unwrap())).unwrap();
        }
        irqs.mask(1 << 3, true);
        assert_eq!(irqs.open(), 1 | 1 << 31);
        irqs.mask(1 << 3, false);
        irqs.bind(0, None).unwrap();
        assert_eq!(irqs.open(), 1 << 3 | 1 << 31);
        irqs.clear();
        assert_eq!(irqs.open(), 0);
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        assert!(irqs.bind(1, Some(file)).is_err());
        assert_eq!(irqs.open(), 0);
    }

    #[test]
    fn vectors_wait_for_the_writes_before_them_and_for_no_others() {
        let mut irqs = Irqs::default();
        irqs.hold(1, 10);
        irqs.hold(2, 10);
        irqs.hold(1, 12);
        assert_eq!(irqs.take_held(Some(10)), 0);
        assert_eq!(irqs.take_held(Some(11)), 3);
        assert_eq!(irqs.take_held(Some(12)), 0);
        assert_eq!(irqs.take_held(None), 1);
        for after in 0..1_000 {
            irqs.hold(1 << (after % 32), after);
        }
        assert_eq!(irqs.held.len(), GROUPS_MAX);
        assert_eq!(irqs.take_held(None), u32::MAX, "none is lost");
    }

    #[test]
    fn what_is_owed_comes_once_each_when_it_is_bound() {
        let mut irqs = Irqs::default();
        irqs.bind(4, Some(new_eventfd().unwrap())).unwrap();
        assert_eq!(irqs.take_owed(), 0);
        irqs.owe_all();
        assert_eq!((irqs.take_owed(), irqs.take_owed()), (1 << 4, 0));
        irqs.clear();
        irqs.bind(5, Some(new_eventfd().unwrap())).unwrap();
        irqs.bind(4, Some(new_eventfd().unwrap())).unwrap();
        assert_eq!(irqs.take_owed(), 1 << 5);
    }
}
