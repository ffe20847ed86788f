//! What a vGPU's guest reaches: its BARs and its interrupts.

use super::CHUNK_BYTES;
use crate::boundary;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::types::Vgpu;
use crate::{handles, memory};
use godwit_regs::guest::{BAR0_BYTES, ChannelRegister, Place, place};
use rustix::io::Errno;

fn check_register(offset: u32) -> Result<(), Failure> {
    if offset.is_multiple_of(4) && offset < BAR0_BYTES {
        return Ok(());
    }
    let why = format!("{offset:#x} is no register: multiples of 4 below {BAR0_BYTES:#x} are");
    Err(Failure::value(why))
}

/// A guest's read of the register at `offset` of BAR0: a multiple of 4 below 0x40000. What is no
/// register reads as 0.
///
/// -EBADF: there is no such vGPU. -EINVAL: the offset is none of these.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_bar0_read(vgpu: Vgpu, offset: u32, value: *mut u32) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let value = unsafe { memory::room(value) }?;
        check_register(offset)?;
        *value = worker.call(move |machine| {
            let gfid = machine.gfid(vgpu)?;
            Ok(machine.host.bar0_read(gfid, offset))
        })?;
        Ok(())
    })
}

/// A guest's write to the register at `offset` of BAR0: a multiple of 4 below 0x40000. What is no
/// register takes nothing.
///
/// -EBADF: there is no such vGPU. -EINVAL: the offset is none of these. -EBUSY: a channel is asked
/// for, or given up, while the vGPU stands still.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_vgpu_bar0_write(vgpu: Vgpu, offset: u32, value: u32) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        check_register(offset)?;
        worker.call(move |machine| {
            let (device, host) = machine.vgpu(vgpu)?;
            let is_request = matches!(place(offset), Place::Channel(_, ChannelRegister::Control));
            if is_request && !device.state().runs() {
                let state = device.state();
                return Err(Failure::new(Errno::BUSY, format!("the vGPU is in {state}")));
            }
            host.bar0_write(device.gfid(), offset, value);
            Ok(())
        })
    })
}

/// Refuses what is not wholly in the aperture, before any of it is done.
fn check_aperture(
    machine: &mut Machine,
    vgpu: Vgpu,
    at: u64,
    byte_count: usize,
) -> Result<(), Failure> {
    let (device, host) = machine.vgpu(vgpu)?;
    let found = host.vgpu(device.gfid());
    let bytes = found.map_or(0, |info| info.profile.bar_bytes);
    match at.checked_add(byte_count as u64) {
        Some(end) if end <= bytes => Ok(()),
        _ => Err(Failure::new(
            Errno::NXIO,
            format!("{byte_count} bytes at {at:#x} are not in the aperture of {bytes:#x} bytes"),
        )),
    }
}

/// A guest's read of `byte_count` bytes at `at` of its aperture, BAR2, into `into`.
///
/// -EBADF: there is no such vGPU. -ENXIO: the aperture does not reach so far. -EBUSY: the vGPU
/// stands still, and the aperture is closed. -EINVAL: there is no memory of that length.
///
/// # Safety
///
/// See POINTERS: `byte_count` bytes lie at `into`, which may be NULL if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_bar2_read(
    vgpu: Vgpu,
    at: u64,
    into: *mut u8,
    byte_count: usize,
) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let into = unsafe { memory::slice_mut(into, byte_count) }?;
        worker.call(move |machine| check_aperture(machine, vgpu, at, byte_count))?;
        for (at, part) in (at..).step_by(CHUNK_BYTES).zip(into.chunks_mut(CHUNK_BYTES)) {
            let count = part.len();
            let bytes = worker.call(move |machine| {
                let gfid = machine.gfid(vgpu)?;
                let mut bytes = vec![0; count];
                machine.host.bar2_read(gfid, at, &mut bytes)?;
                Ok(bytes)
            })?;
            part.copy_from_slice(&bytes);
        }
        Ok(())
    })
}

/// A guest's write of `byte_count` bytes from `from` to `at` of its aperture, BAR2.
///
/// -EBADF: there is no such vGPU. -ENXIO: the aperture does not reach so far, and nothing is
/// written. -EBUSY: the vGPU stands still, and the aperture is closed. -EINVAL: there is no memory
/// of that length.
///
/// # Safety
///
/// See POINTERS: `byte_count` bytes lie at `from`, which may be NULL if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_bar2_write(
    vgpu: Vgpu,
    at: u64,
    from: *const u8,
    byte_count: usize,
) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let from = unsafe { memory::slice(from, byte_count) }?;
        worker.call(move |machine| check_aperture(machine, vgpu, at, byte_count))?;
        for (at, part) in (at..).step_by(CHUNK_BYTES).zip(from.chunks(CHUNK_BYTES)) {
            let bytes = part.to_vec();
            worker.call(move |machine| {
                let gfid = machine.gfid(vgpu)?;
                Ok(machine.host.bar2_write(gfid, at, &bytes)?)
            })?;
        }
        Ok(())
    })
}

/// Takes those of the interrupts in `mask` that a vGPU has raised, to signal them to its guest: a
/// bit for each of its 32 vectors. The others stay, and go with the vGPU's state.
///
/// -EBADF: there is no such vGPU.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_take_vectors(vgpu: Vgpu, mask: u32, vectors: *mut u32) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let vectors = unsafe { memory::room(vectors) }?;
        *vectors = worker.call(move |machine| {
            let gfid = machine.gfid(vgpu)?;
            Ok(machine.host.take_vectors_of(gfid, mask))
        })?;
        Ok(())
    })
}
