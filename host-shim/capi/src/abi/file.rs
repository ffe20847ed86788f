//! State files.

use crate::boundary;
use crate::failure::Failure;
use crate::files::Place;
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

/// Suspends a vGPU, and forgets its handle.
///
/// # Safety
///
/// See POINTERS.
unsafe fn suspend(
    vgpu: Vgpu,
    place: impl FnOnce() -> Result<Place, Failure>,
    options: *const FileOptions,
) -> Result<(), Failure> {
    let worker = handles::vgpu(vgpu)?;
    let place = place()?;
    // SAFETY: the caller's word.
    let (key, _) = unsafe { self::options(options, 0) }?;
    worker.call(move |machine| machine.suspend(vgpu, &place, key.as_deref()))?;
    handles::remove_vgpu(vgpu);
    Ok(())
}

/// Resumes a vGPU, and puts its handle there.
///
/// # Safety
///
/// See POINTERS.
unsafe fn resume(
    device: Device,
    place: impl FnOnce() -> Result<Place, Failure>,
    options: *const FileOptions,
    vgpu: *mut Vgpu,
) -> Result<(), Failure> {
    let worker = handles::device(device)?;
    let place = place()?;
    // SAFETY: the caller's word.
    let room = unsafe { memory::room(vgpu) }?;
    // SAFETY: the caller's word.
    let (key, flags) = unsafe { self::options(options, GODWIT_FILE_KEEP) }?;
    let options = ResumeOptions { key, keep: flags & GODWIT_FILE_KEEP != 0 };
    let handle = handles::add_vgpu(device)?;
    let resumed = worker.call(move |machine| machine.resume(handle, &place, &options));
    if let Err(failure) = resumed {
        handles::remove_vgpu(handle);
        return Err(failure);
    }
    *room = handle;
    Ok(())
}

/// Suspends a vGPU in RUNNING, whose guest is paused, to a state file at `path`: where nothing is
/// yet, or another state file, which is replaced. `options` may be NULL. When this returns 0 the
/// file is whole and on the disk, the vGPU is in it and nowhere else, and its handle is of no use
/// any more. A GODWIT_EVENT_NOTE says so if the disk has not taken the file's name for sure: it may
/// be called `path`.partial after a loss of power; or if the card does not get to overwrite what
/// the vGPU had there: it stands still until godwit_close. After an error nothing at `path` has
/// this vGPU come out of it, and what was there before is still, but where a disk fails with the
/// file's name. The vGPU runs on after all but two:
/// -ETIMEDOUT: the card does not answer, or does not let it run again. It may stand still, and is
/// to be destroyed. -ENODEV: the firmware behind a window was lost before the file was whole, and
/// the vGPU with it.
///
/// -EBADF: there is no such vGPU. -EINVAL: it is in another state, or flags are wrong. -EEXIST:
/// something else is at `path`. -ENOENT, -EACCES, -ENOSPC, ...: the file cannot be made. -EBUSY,
/// -EIO: it is not stopped, or not read.
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
        // SAFETY: the caller's word.
        let place = || Ok(Place::Path(unsafe { memory::path(path) }?));
        // SAFETY: the caller's word.
        unsafe { suspend(vgpu, place, options) }
    })
}

/// The same to an empty file that the caller has opened to be written, and which stays open: see
/// DESCRIPTORS. When this returns 0 its bytes are on the disk, and it is resumed from by its name
/// or by a descriptor. It begins with zeros until it is whole, so one that a crash has cut short is
/// no state file. After an error it is as it was, and the vGPU is as above.
///
/// -EBADF: there is no such vGPU, or no such file descriptor, or it was not opened to be written.
/// -EINVAL: it is no plain file; or as above. -EEXIST: it is not empty. -EBUSY: somebody else
/// writes or resumes it; or as above. All others as above.
///
/// # Safety
///
/// See POINTERS: `key` of the options has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_suspend_fd(
    vgpu: Vgpu,
    fd: i32,
    options: *const FileOptions,
) -> i32 {
    // SAFETY: the caller's word.
    boundary::done(|| unsafe { suspend(vgpu, || Place::open(fd), options) })
}

/// Resumes the vGPU in a state file on a card. `options` may be NULL. When this returns 0 the vGPU
/// runs, the file says so, on the disk, unless it is kept, and the handle is put at `vgpu`. The
/// mark is written before the vGPU runs, and is taken back if it does not. After an error nothing
/// of it is on the card, and the file is as it was, but where godwit_last_error() says that it
/// counts as resumed all the same, and after two:
/// -ETIMEDOUT: the card does not answer, or does not start it. -ENODEV: the firmware behind a
/// window is lost. It is not known then whether it has run, and the file may be marked, which a
/// resume tells by -ESTALE. There is no handle of it, and nobody has seen what it did: after
/// godwit_close it is in the file alone, and is resumed with GODWIT_FILE_KEEP if it is marked.
///
/// -EBADF: there is no such device. -ENOENT, -EACCES, ...: the file cannot be opened or marked.
/// -EINVAL: it is no state file, or flags are wrong. -EBADMSG: it is damaged or cut short.
/// -EPROTONOSUPPORT: it, its seal or a record is of a version that is not read. -ENOKEY: it is
/// sealed, and no key is given. -EKEYREJECTED: it is sealed with another key, or a key is given and
/// it is not sealed. -ESTALE: it was resumed before. -EBUSY: somebody else resumes it. -ENOSPC: the
/// card has no room. -EOPNOTSUPP: the card does not load such contexts. -EIO: the card fails.
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
        // SAFETY: the caller's word.
        let place = || Ok(Place::Path(unsafe { memory::path(path) }?));
        // SAFETY: the caller's word.
        unsafe { resume(device, place, options, vgpu) }
    })
}

/// The same from a file that the caller has opened to be read and, unless it is kept, written, and
/// which stays open: see DESCRIPTORS.
///
/// -EBADF: there is no such device, or no such file descriptor, or it was not opened for that.
/// -EINVAL: it is no plain file; or as above. All others as above.
///
/// # Safety
///
/// See POINTERS: `key` of the options has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_resume_fd(
    device: Device,
    fd: i32,
    options: *const FileOptions,
    vgpu: *mut Vgpu,
) -> i32 {
    // SAFETY: the caller's word.
    boundary::done(|| unsafe { resume(device, || Place::open(fd), options, vgpu) })
}
