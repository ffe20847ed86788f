//! What a vGPU reaches over the bus, and the log of guest memory that it writes.

use crate::boundary;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::types::{DmaRange, DmaWindow, GODWIT_DMA_READ, GODWIT_DMA_WRITE, Vgpu};
use crate::{handles, memory};
use godwit_sim_gpu::{
    DMA_LOG_RANGES_MAX, DmaLogError, DmaRange as CardRange, DmaTarget, DmaWindow as CardWindow,
};
use godwit_sys::MemFile;
use rustix::io::Errno;
use std::fs::File;
use std::sync::Arc;

/// A bitmap longer than this is not reported at once: 2^31 pages.
const BITMAP_BYTES_MAX: u64 = 1 << 28;

/// Where a window leads, as far as it is known before the card is asked.
enum Target {
    Memory(Arc<MemFile>),
    Peer(Vgpu),
}

fn target(window: &DmaWindow) -> Result<Target, Failure> {
    let no_peer = window.peer.raw == 0;
    if window.fd == -1 && !no_peer {
        return Ok(Target::Peer(window.peer));
    }
    if window.fd != -1 && !no_peer {
        return Err(Failure::value("a window leads to a file or to a peer, and not to both"));
    }
    let file = memory::duplicate(window.fd)?;
    Ok(Target::Memory(Arc::new(MemFile::shared(File::from(file))?)))
}

/// Maps a window for a vGPU, onto guest memory or onto the aperture of another vGPU of its card.
/// There are up to 256. They are not in the vGPU's state, and end with the vGPU.
///
/// -EBADF: there is no such vGPU, peer or file descriptor. -EINVAL: flags are wrong, something is
/// no multiple of 4096, the window is not in what it leads to, or the file is no memory file or an
/// empty one. -EPERM: the memory file is not sealed against shrinking, or is against writing.
/// -EACCES: it is not open to read and write, whatever the flags are. -EOPNOTSUPP: it is of large
/// pages. -ENOMEM, -EMFILE, ...: the system maps no more. -EEXIST: the window overlaps another.
/// -ENOSPC: there are 256 already.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_dma_map(vgpu: Vgpu, window: *const DmaWindow) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let window = unsafe { memory::input(window) }?;
        let &DmaWindow { flags, iova, byte_count, offset, reserved, .. } = &window;
        if reserved != 0 || flags & !(GODWIT_DMA_READ | GODWIT_DMA_WRITE) != 0 {
            return Err(Failure::value(format!("flags are {flags:#x}, reserved is {reserved}")));
        }
        let target = target(&window)?;
        let (read, write) = (flags & GODWIT_DMA_READ != 0, flags & GODWIT_DMA_WRITE != 0);
        worker.call(move |machine| {
            let gfid = machine.gfid(vgpu)?;
            let target = match target {
                Target::Memory(memory) => DmaTarget::Memory { memory, offset },
                Target::Peer(peer) => DmaTarget::Peer { gfid: machine.gfid(peer)?, offset },
            };
            let window = CardWindow { iova, byte_count, read, write, target };
            Ok(machine.host.dma_map(gfid, window)?)
        })
    })
}

/// Unmaps a window, named by exactly the addresses that it was mapped with. A copy that uses it
/// ends with a fault of its channel.
///
/// -EBADF: there is no such vGPU. -ENOENT: there is no such window.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_vgpu_dma_unmap(vgpu: Vgpu, iova: u64, byte_count: u64) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        worker.call(move |machine| {
            let gfid = machine.gfid(vgpu)?;
            Ok(machine.host.dma_unmap(gfid, iova, byte_count)?)
        })
    })
}

/// Logs from now on which guest memory a vGPU writes (VFIO_DEVICE_FEATURE_DMA_LOGGING_START): in 1
/// to 64 ranges, in whole pages of `page_bytes`, a power of two from 4096 to 2^30. The bytes of the
/// pages that are really logged, which may be more, are put at `logged_page_bytes`, unless that is
/// NULL.
///
/// -EBADF: there is no such vGPU. -EINVAL: a log is kept already, there is no range, ranges or page
/// are not as said. -E2BIG: there are more than 64 ranges, or pages than can be logged. -EOVERFLOW:
/// a range ends past 64 bits.
///
/// # Safety
///
/// See POINTERS: `count` ranges lie at `ranges`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_dma_log_start(
    vgpu: Vgpu,
    ranges: *const DmaRange,
    count: usize,
    page_bytes: u64,
    logged_page_bytes: *mut u64,
) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let ranges = unsafe { memory::slice(ranges, count) }?;
        if count > DMA_LOG_RANGES_MAX {
            return Err(DmaLogError::Ranges(count).into());
        }
        let ranges: Vec<CardRange> = ranges.iter().map(range).collect();
        let logged = match logged_page_bytes.is_null() {
            true => None,
            // SAFETY: the caller's word.
            false => Some(unsafe { memory::room(logged_page_bytes) }?),
        };
        let found = worker.call(move |machine| {
            let gfid = machine.gfid(vgpu)?;
            Ok(machine.host.dma_log_start(gfid, &ranges, page_bytes)?)
        })?;
        if let Some(logged) = logged {
            *logged = found;
        }
        Ok(())
    })
}

fn range(range: &DmaRange) -> CardRange {
    let &DmaRange { iova, byte_count } = range;
    CardRange { iova, byte_count }
}

/// Sets the bit of each page that a vGPU has written since it was reported last, and clears the log
/// of them (VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT). Bit n % 8 of byte n / 8 is for the n-th page
/// of `page_bytes` from `iova` on; no bit is ever cleared.
///
/// -EBADF: there is no such vGPU. -EINVAL: nothing is logged, or not all of the range, or the
/// bitmap of `bitmap_bytes` is too short. -EOVERFLOW: the range ends past 64 bits. -E2BIG: it has
/// more than 2^31 pages.
///
/// # Safety
///
/// See POINTERS: `bitmap_bytes` bytes lie at `bitmap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_dma_log_report(
    vgpu: Vgpu,
    iova: u64,
    byte_count: u64,
    page_bytes: u64,
    bitmap: *mut u8,
    bitmap_bytes: usize,
) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let bitmap = unsafe { memory::slice_mut(bitmap, bitmap_bytes) }?;
        let range = CardRange { iova, byte_count };
        // What is wrong with a page of no bytes the card says.
        let needed = byte_count.div_ceil(page_bytes.max(1)).div_ceil(8);
        if needed > BITMAP_BYTES_MAX && page_bytes != 0 {
            return Err(Failure::new(Errno::TOOBIG, format!("a bitmap of {needed} bytes")));
        }
        let count = usize::try_from(needed).unwrap_or(usize::MAX).min(bitmap.len());
        let report = move |machine: &mut Machine| {
            let gfid = machine.gfid(vgpu)?;
            let mut found = vec![0; count];
            machine.host.dma_log_report(gfid, range, page_bytes, &mut found)?;
            Ok(found)
        };
        for (byte, found) in bitmap.iter_mut().zip(worker.call(report)?) {
            *byte |= found;
        }
        Ok(())
    })
}

/// Logs no more, and forgets what was not reported (VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP).
///
/// -EBADF: there is no such vGPU. -EINVAL: nothing is logged.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_vgpu_dma_log_stop(vgpu: Vgpu) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        worker.call(move |machine| {
            let gfid = machine.gfid(vgpu)?;
            Ok(machine.host.dma_log_stop(gfid)?)
        })
    })
}
