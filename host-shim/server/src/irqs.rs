//! The interrupts of a vGPU's function: event descriptors that its client has bound to vectors.

use crate::refusal::Refusal;
use godwit_sys::{is_eventfd, set_nonblocking, signal_eventfd};
use godwit_types::VECTOR_COUNT;
use godwit_vfio_proto::{IrqAction, IrqData, SetIrqs, irq};
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
    fn bind(&mut self, vector: usize, fd: Option<OwnedFd>) {
        if let Some(place) = self.bound.get_mut(vector) {
            *place = fd;
        }
    }

    /// Unbinds all.
    pub(crate) fn clear(&mut self) {
        *self = Self { owed: self.owed, ..Self::default() };
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

    /// Signals vectors. Those that cannot be any more are owed.
    pub(crate) fn signal(&mut self, vectors: u32) {
        let open = self.open();
        self.owed |= vectors & !open;
        for (vector, fd) in self.bound.iter().enumerate() {
            if vectors & open & 1 << vector != 0
                && let Some(fd) = fd
            {
                // Its client can break it, and then harms itself.
                let _ = signal_eventfd(fd);
            }
        }
    }

    /// Does what a client asks for its MSI-X vectors; `fds` are those that came with it.
    pub(crate) fn set(&mut self, set: &SetIrqs<'_>, fds: Vec<OwnedFd>) -> Result<(), Refusal> {
        let count = match set.index {
            irq::MSIX => u32::from(VECTOR_COUNT),
            // The kinds that QEMU binds whether or not the device has them.
            irq::ERR | irq::REQ => 1,
            irq::INTX | irq::MSI => 0,
            _ => return Err(Refusal::new("there is no such kind of interrupt")),
        };
        if u64::from(set.start) + u64::from(set.count) > u64::from(count) {
            return Err(Refusal::new(format!("interrupt {} has {count} vectors", set.index)));
        }
        if set.index != irq::MSIX {
            // Nothing ever raises them.
            return Ok(());
        }
        let vectors = set.vectors().fold(0, |all, vector| all | 1 << vector);
        match (set.action, set.data) {
            (IrqAction::Mask, _) => self.masked |= vectors,
            (IrqAction::Unmask, _) => self.masked &= !vectors,
            (IrqAction::Trigger, IrqData::None) if set.count == 0 => self.clear(),
            (IrqAction::Trigger, IrqData::None | IrqData::Bool(_)) => self.signal(vectors),
            (IrqAction::Trigger, IrqData::Eventfd) => {
                if !fds.iter().all(|fd| is_eventfd(fd) && set_nonblocking(fd).is_ok()) {
                    return Err(Refusal::new("an interrupt is bound by an eventfd only"));
                }
                let mut fds = fds.into_iter();
                for vector in set.vectors() {
                    self.bind(vector as usize, fds.next());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_sys::new_eventfd;

    fn set(start: u32, count: u32, action: IrqAction, data: IrqData<'_>) -> SetIrqs<'_> {
        SetIrqs { index: irq::MSIX, start, count, action, data }
    }

    fn bind(irqs: &mut Irqs, vector: u32, fd: OwnedFd) -> Result<(), Refusal> {
        irqs.set(&set(vector, 1, IrqAction::Trigger, IrqData::Eventfd), vec![fd])
    }

    #[test]
    fn only_bound_and_unmasked_vectors_are_open() {
        let mut irqs = Irqs::default();
        for vector in [0, 3, 31] {
            bind(&mut irqs, vector, new_eventfd().unwrap()).unwrap();
        }
        irqs.set(&set(2, 2, IrqAction::Mask, IrqData::Bool(&[0, 1])), Vec::new()).unwrap();
        assert_eq!(irqs.open(), 1 | 1 << 31);
        irqs.set(&set(0, 32, IrqAction::Unmask, IrqData::None), Vec::new()).unwrap();
        irqs.set(&set(0, 1, IrqAction::Trigger, IrqData::Eventfd), Vec::new()).unwrap();
        assert_eq!(irqs.open(), 1 << 3 | 1 << 31);
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        assert!(bind(&mut irqs, 1, file).is_err());
        assert!(irqs.set(&set(31, 2, IrqAction::Mask, IrqData::None), Vec::new()).is_err());
        assert_eq!(irqs.open(), 1 << 3 | 1 << 31);
        irqs.set(&set(0, 0, IrqAction::Trigger, IrqData::None), Vec::new()).unwrap();
        assert_eq!(irqs.open(), 0);
    }

    #[test]
    fn a_vector_that_is_unbound_meanwhile_is_signalled_when_it_is_bound_again() {
        let mut irqs = Irqs::default();
        irqs.hold(1 << 7, 1);
        let held = irqs.take_held(None);
        irqs.signal(held);
        assert_eq!(irqs.take_owed(), 0);
        bind(&mut irqs, 7, new_eventfd().unwrap()).unwrap();
        assert_eq!(irqs.take_owed(), 1 << 7);
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
        bind(&mut irqs, 4, new_eventfd().unwrap()).unwrap();
        assert_eq!(irqs.take_owed(), 0);
        irqs.owe_all();
        assert_eq!((irqs.take_owed(), irqs.take_owed()), (1 << 4, 0));
        irqs.clear();
        bind(&mut irqs, 5, new_eventfd().unwrap()).unwrap();
        bind(&mut irqs, 4, new_eventfd().unwrap()).unwrap();
        assert_eq!(irqs.take_owed(), 1 << 5);
    }
}
