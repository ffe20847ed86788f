//! State files.

use crate::boundary;
use crate::failure::Failure;
use crate::types::{Device, FileOptions, GODWIT_FILE_KEEP, Vgpu};
use crate::{handles, memory};
use godwit_shim::{KEY_BYTES, ResumeOptions, SealKey};
use std::ffi::c_char;
use std::sync::Arc;

/// What a file is sealed with, and flags.
///
/// # Safety
///
/// See POINTERS. `options` may be null.
unsafe fn options(
    options: *const FileOptions,
    allowed: u32,
) -> Result<(Option<Arc<SealKey>>, u32), Failure> {
    if options.is_null() {
        return Ok((None, 0));
    }
    // SAFETY: the caller's word.
    let FileOptions { flags, key, .. } = unsafe { memory::input(options) }?;
    if flags & !allowed != 0 {
        return Err(Failure::value(format!("flags are {flags:#x}")));
    }
    if key.is_null() {
        return Ok((None, flags));
    }
    // SAFETY: the caller's word.
    let bytes = unsafe { memory::slice(key, KEY_BYTES) }?;
    let key = bytes.first_chunk().map(|bytes| Arc::new(SealKey::new(*bytes)));
    Ok((key, flags))
}

/// Suspends a vGPU in RUNNING, whose guest is paused, to a state file at `path`: where nothing is
/// yet, or another state file, which is replaced. `options` may be NULL. When this returns 0 the
/// file is whole and on the disk, nothing of the vGPU is left on the card, and its handle is of no
/// use any more. After an error it runs on.
///
/// -EBADF: there is no such vGPU. -EINVAL: it is in another state, or flags are wrong. -EEXIST:
/// something else is at `path`. -ENOENT, -EACCES, -ENOSPC, ...: the file cannot be made. -EIO: it
/// is not suspended. -ETIMEDOUT: the card does not answer; the vGPU can be destroyed only.
///
/// # Safety
///
/// See POINTERS: `path` ends with a zero, and `key` of the options has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_suspend(
    vgpu: Vgpu,
    path: *const c_char,
    options: *const FileOptions,
) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let path = unsafe { memory::path(path) }?;
        // SAFETY: the caller's word.
        let (key, _) = unsafe { self::options(options, 0) }?;
        worker.call(move |machine| machine.suspend(vgpu, &path, key))?;
        handles::remove_vgpu(vgpu);
        Ok(())
    })
}

/// Resumes the vGPU in a state file on a card. `options` may be NULL. When this returns 0 the vGPU
/// runs, the file says that it was resumed, and the handle is put at `vgpu`. After an error nothing
/// of it is on the card.
///
/// -EBADF: there is no such device. -ENOENT, -EACCES, ...: the file cannot be opened. -EINVAL: it
/// is no state file, is damaged, or has another key; or flags are wrong. -ESTALE: it was resumed
/// before. -EBUSY: somebody else resumes it. -EIO: the vGPU cannot be restored here: the card has
/// no room, or other contexts.
///
/// # Safety
///
/// See POINTERS: `path` ends with a zero, and `key` of the options has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_resume(
    device: Device,
    path: *const c_char,
    options: *const FileOptions,
    vgpu: *mut Vgpu,
) -> i32 {
    boundary::done(|| {
        let worker = handles::device(device)?;
        // SAFETY: the caller's word.
        let path = unsafe { memory::path(path) }?;
        // SAFETY: the caller's word.
        let room = unsafe { memory::room(vgpu) }?;
        // SAFETY: the caller's word.
        let (key, flags) = unsafe { self::options(options, GODWIT_FILE_KEEP) }?;
        let options = ResumeOptions { key, keep: flags & GODWIT_FILE_KEEP != 0 };
        let handle = handles::add_vgpu(device)?;
        let resumed = worker.call(move |machine| machine.resume(handle, &path, &options));
        if let Err(failure) = resumed {
            handles::remove_vgpu(handle);
            return Err(failure);
        }
        *room = handle;
        Ok(())
    })
}
