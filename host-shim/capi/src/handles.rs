//! Handles: numbers that are looked up, and mean nothing by themselves. None is used twice, and
//! they begin at a random place, so that one of another process, or a small number that somebody
//! has taken for one, is not found.

use crate::failure::Failure;
use crate::types::{Device, Vgpu};
use crate::worker::Worker;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Handles begin somewhere in between: so many are never given out.
const FIRST_MIN: u64 = 1 << 32;
const FIRST_MASK: u64 = (1 << 62) - 1;

/// What there is. It is empty, and takes no memory, where there is nothing.
#[derive(Debug)]
struct Handles {
    /// The last number that was given out; 0: none.
    last: u64,
    devices: BTreeMap<u64, Arc<Worker>>,
    /// The card of each vGPU.
    vgpus: BTreeMap<u64, u64>,
}

static HANDLES: Mutex<Handles> =
    Mutex::new(Handles { last: 0, devices: BTreeMap::new(), vgpus: BTreeMap::new() });

/// The process that it is of, or 0: a child has the numbers, and not the threads behind them.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Nothing of it may be touched in a child, where a thread that is not there may hold the lock.
pub(crate) fn check_process() -> Result<(), Failure> {
    let own = std::process::id();
    let of = PROCESS.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed);
    if of.is_err_and(|of| of != own) {
        return Err(Failure::new(Errno::CHILD, "the process that used the library was forked"));
    }
    Ok(())
}

fn handles() -> Result<MutexGuard<'static, Handles>, Failure> {
    check_process()?;
    // It holds maps alone, which a panic leaves whole.
    Ok(HANDLES.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Handles {
    fn next(&mut self) -> Result<u64, Failure> {
        if self.last == 0 {
            self.last = first()?;
        }
        self.last += 1;
        Ok(self.last)
    }

    /// Gives back the memory of maps that have become empty: it would count as a program's leak.
    fn tidy(&mut self) {
        if self.devices.is_empty() {
            self.devices = BTreeMap::new();
        }
        if self.vgpus.is_empty() {
            self.vgpus = BTreeMap::new();
        }
    }

    fn device(&self, raw: u64) -> Option<Arc<Worker>> {
        self.devices.get(&raw).cloned()
    }
}

fn first() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Errno::IO, format!("there is no randomness: {error}")))?;
    Ok((u64::from_ne_bytes(bytes) & FIRST_MASK) | FIRST_MIN)
}

/// Notes a card.
pub(crate) fn add_device(worker: Worker) -> Result<Device, Failure> {
    let mut handles = handles()?;
    let raw = handles.next()?;
    handles.devices.insert(raw, Arc::new(worker));
    Ok(Device { raw })
}

/// The thread of a card.
pub(crate) fn device(device: Device) -> Result<Arc<Worker>, Failure> {
    let handles = handles()?;
    handles.device(device.raw).ok_or_else(|| Failure::handle("device"))
}

/// Forgets a card and its vGPUs, and gives its thread back.
pub(crate) fn remove_device(device: Device) -> Result<Arc<Worker>, Failure> {
    let mut handles = handles()?;
    let worker = handles.devices.remove(&device.raw).ok_or_else(|| Failure::handle("device"))?;
    handles.vgpus.retain(|_, of| *of != device.raw);
    handles.tidy();
    Ok(worker)
}

/// A number for a vGPU that is about to be on a card.
pub(crate) fn add_vgpu(device: Device) -> Result<Vgpu, Failure> {
    let mut handles = handles()?;
    if !handles.devices.contains_key(&device.raw) {
        return Err(Failure::handle("device"));
    }
    let raw = handles.next()?;
    handles.vgpus.insert(raw, device.raw);
    Ok(Vgpu { raw })
}

/// The thread of a vGPU's card.
pub(crate) fn vgpu(vgpu: Vgpu) -> Result<Arc<Worker>, Failure> {
    let handles = handles()?;
    let of = handles.vgpus.get(&vgpu.raw).ok_or_else(|| Failure::handle("vGPU"))?;
    handles.device(*of).ok_or_else(|| Failure::handle("vGPU"))
}

/// Forgets a vGPU.
pub(crate) fn remove_vgpu(vgpu: Vgpu) {
    if let Ok(mut handles) = handles() {
        handles.vgpus.remove(&vgpu.raw);
        handles.tidy();
    }
}
