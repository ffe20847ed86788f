//! VFIO migration v2, call by call.

use super::CHUNK_BYTES;
use crate::boundary;
use crate::failure::Failure;
use crate::types::{GODWIT_PRECOPY_REINIT, PrecopyInfo, Vgpu};
use crate::{handles, memory};
use godwit_shim::vfio::MigrationState;
use rustix::io::Errno;

/// Brings a vGPU to a state, `GODWIT_STATE_*`, by the arcs that lead there, as
/// VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE does: it is there when this returns. After an error it is
/// in the last state that it came to, or in GODWIT_STATE_ERROR. Whoever has it leave RUNNING has
/// paused its guest, and a state is whole when it goes from RESUMING to another one.
///
/// -EBADF: there is no such vGPU. -EINVAL: there is no such state, or no way to it; or the state
/// that was written is none that this vGPU can take. -ETIMEDOUT, -EBUSY, -EIO: the card does not do
/// it.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_vgpu_set_state(vgpu: Vgpu, state: u32) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        let to = MigrationState::new(state);
        let to = to.ok_or_else(|| Failure::value(format!("{state} is no state")))?;
        worker.call(move |machine| {
            let (device, host) = machine.vgpu(vgpu)?;
            Ok(device.set_state(host, to)?)
        })
    })
}

/// The state of a vGPU, `GODWIT_STATE_*`.
///
/// -EBADF: there is no such vGPU.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_get_state(vgpu: Vgpu, state: *mut u32) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let state = unsafe { memory::room(state) }?;
        *state = worker.call(move |machine| Ok(machine.vgpu(vgpu)?.0.state() as u32))?;
        Ok(())
    })
}

/// Reads up to `byte_count` bytes of a vGPU's state, as read() of a migration's data descriptor
/// does: returns how many. Fewer than were asked for are the end: of the state in STOP_COPY, and of
/// what there is for now in PRE_COPY. One thread at a time reads a state.
///
/// -EBADF: there is no such vGPU. -EINVAL: it is in another state, or there is no memory of that
/// length. -ENOMSG: there is nothing for now, in PRE_COPY; 0 says so in STOP_COPY. -EIO, -ETIMEDOUT
/// and others: the state is lost on the way, and what was read is of no use.
///
/// # Safety
///
/// See POINTERS: `byte_count` bytes lie at `into`, which may be NULL if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_read(vgpu: Vgpu, into: *mut u8, byte_count: usize) -> i64 {
    boundary::call(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let into = unsafe { memory::slice_mut(into, byte_count) }?;
        let mut filled = 0;
        loop {
            let most = (into.len() - filled).min(CHUNK_BYTES);
            let part = worker.call(move |machine| {
                let (device, host) = machine.vgpu(vgpu)?;
                let mut part = vec![0; most];
                let count = device.read(host, &mut part)?;
                part.truncate(count);
                Ok(part)
            });
            let part = match part {
                // The end for now was met behind what was read.
                Err(failure) if failure.errno == Errno::NOMSG && filled != 0 => break,
                part => part?,
            };
            into[filled..filled + part.len()].copy_from_slice(&part);
            filled += part.len();
            if part.len() < most || filled == into.len() {
                break;
            }
        }
        Ok(filled as i64)
    })
}

/// Writes a part of a state, of any length, as write() of a migration's data descriptor does:
/// returns how many bytes were taken, which are all.
///
/// -EBADF: there is no such vGPU. -EINVAL: it is not in RESUMING, there is no memory of that
/// length, or the state is none that this vGPU can take: of another profile, damaged, not of
/// Godwit. It is in ERROR then. Others: the card does not take it, and it is in ERROR, too.
///
/// # Safety
///
/// See POINTERS: `byte_count` bytes lie at `from`, which may be NULL if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_write(vgpu: Vgpu, from: *const u8, byte_count: usize) -> i64 {
    boundary::call(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let from = unsafe { memory::slice(from, byte_count) }?;
        let mut left = from;
        loop {
            let (part, rest) = left.split_at(left.len().min(CHUNK_BYTES));
            let part = part.to_vec();
            worker.call(move |machine| {
                let (device, host) = machine.vgpu(vgpu)?;
                Ok(device.write(host, &part)?)
            })?;
            left = rest;
            if left.is_empty() {
                break;
            }
        }
        Ok(from.len() as i64)
    })
}

/// What a reader has before it in PRE_COPY and PRE_COPY_P2P (VFIO_MIG_GET_PRECOPY_INFO).
///
/// -EBADF: there is no such vGPU. -EINVAL: it is in another state. -EIO, -ETIMEDOUT and others: as
/// of godwit_vgpu_read, the state is lost on the way, and what was read is of no use. The vGPU runs
/// on, and a reader begins anew from RUNNING; in ERROR it needs a reset.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_precopy_info(vgpu: Vgpu, info: *mut PrecopyInfo) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let room = unsafe { memory::Output::new(info) }?;
        let found = worker.call(move |machine| {
            let (device, host) = machine.vgpu(vgpu)?;
            Ok(device.precopy_info(host)?)
        })?;
        room.put(&PrecopyInfo {
            struct_size: 0,
            flags: if found.reinit { GODWIT_PRECOPY_REINIT } else { 0 },
            initial_bytes: found.initial_bytes,
            dirty_bytes: found.dirty_bytes,
        });
        Ok(())
    })
}

/// How many bytes would have to be read at most if the vGPU was stopped now, in any state
/// (VFIO_DEVICE_FEATURE_MIG_DATA_SIZE).
///
/// -EBADF: there is no such vGPU.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_data_size(vgpu: Vgpu, byte_count: *mut u64) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let byte_count = unsafe { memory::room(byte_count) }?;
        *byte_count = worker.call(move |machine| {
            let (device, host) = machine.vgpu(vgpu)?;
            Ok(device.stop_copy_bytes(host))
        })?;
        Ok(())
    })
}

/// Makes a vGPU as it was when it was new, from any state (VFIO_DEVICE_RESET): it runs, and all
/// that it had is gone. Its place, its share, its DMA windows and its log stay.
///
/// -EBADF: there is no such vGPU. -ETIMEDOUT, -EIO: the card does not do it. It is in ERROR then,
/// and may be reset again.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_vgpu_reset(vgpu: Vgpu) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        worker.call(move |machine| {
            let (device, host) = machine.vgpu(vgpu)?;
            Ok(device.reset(host)?)
        })
    })
}
