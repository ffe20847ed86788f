//! vGPUs.

use crate::boundary;
use crate::failure::Failure;
use crate::types::{Device, Share, Vgpu, VgpuConfig, VgpuInfo};
use crate::{handles, memory};
use godwit_types::{Profile, Share as CardShare};
use rustix::io::Errno;

/// Makes a vGPU on a card and lets it run. Its handle is put at `vgpu`, which is not changed after
/// an error.
///
/// -EBADF: there is no such device. -EINVAL: a number is out of its range. -ENOSPC: the card has no
/// room. -ENOMEM: the system gives no memory for it. -ETIMEDOUT: the card does not make it, or does
/// not start it.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_create(
    device: Device,
    config: *const VgpuConfig,
    vgpu: *mut Vgpu,
) -> i32 {
    boundary::done(|| {
        let worker = handles::device(device)?;
        // SAFETY: the caller's word.
        let config = unsafe { memory::input(config) }?;
        // SAFETY: the caller's word.
        let room = unsafe { memory::room(vgpu) }?;
        let (profile, share) = (profile(&config)?, config_share(&config)?);
        let uuid = if config.uuid == [0; 16] { random_uuid()? } else { config.uuid };
        let handle = handles::add_vgpu(device)?;
        let created = worker.call(move |machine| machine.create(handle, profile, share, uuid));
        if let Err(failure) = created {
            handles::remove_vgpu(handle);
            return Err(failure);
        }
        *room = handle;
        Ok(())
    })
}

fn random_uuid() -> Result<[u8; 16], Failure> {
    let mut uuid = [0; 16];
    getrandom::fill(&mut uuid)
        .map_err(|error| Failure::new(Errno::IO, format!("there is no randomness: {error}")))?;
    Ok(uuid)
}

fn profile(config: &VgpuConfig) -> Result<Profile, Failure> {
    let profile = Profile {
        fb_bytes: config.fb_bytes,
        bar_bytes: config.bar_bytes,
        // What is too much for it is out of range.
        channel_count: u16::try_from(config.channel_count).unwrap_or(u16::MAX),
        context_bytes: config.context_bytes,
    };
    profile.check().map_err(|why| Failure::value(format!("out of range: {why:?}")))?;
    Ok(profile)
}

fn config_share(config: &VgpuConfig) -> Result<CardShare, Failure> {
    let weight = if config.weight == 0 { 1 } else { config.weight };
    share(weight, config.part, config.cap)
}

fn share(weight: u32, part: u32, cap: u32) -> Result<CardShare, Failure> {
    let wrong = || Failure::value(format!("no share: weight {weight}, part {part}, cap {cap}"));
    let parts = (u8::try_from(weight), u16::try_from(part), u16::try_from(cap));
    let (Ok(weight), Ok(part), Ok(cap)) = parts else { return Err(wrong()) };
    Some(CardShare { weight, part, cap }).filter(CardShare::is_valid).ok_or_else(wrong)
}

/// Ends a vGPU in whatever state it is: what it had is overwritten, and its handle is of no use any
/// more.
///
/// -EBADF: there is no such vGPU. -ETIMEDOUT, -EIO: the card does not do it, and it is still there.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_vgpu_destroy(vgpu: Vgpu) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        worker.call(move |machine| machine.destroy(vgpu))?;
        handles::remove_vgpu(vgpu);
        Ok(())
    })
}

/// The vGPUs of a card, the oldest first: their number is put at `count`, and up to `room` handles
/// are put at `vgpus`, which may be NULL if `room` is 0.
///
/// -EBADF: there is no such device.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_list(
    device: Device,
    vgpus: *mut Vgpu,
    room: usize,
    count: *mut usize,
) -> i32 {
    boundary::done(|| {
        let worker = handles::device(device)?;
        // SAFETY: the caller's word.
        let places = unsafe { memory::slice_mut(vgpus, room) }?;
        // SAFETY: the caller's word.
        let count = unsafe { memory::room(count) }?;
        let handles: Vec<u64> =
            worker.look(|machine| Ok(machine.vgpus.keys().copied().collect()))?;
        *count = handles.len();
        for (place, raw) in places.iter_mut().zip(handles) {
            *place = Vgpu { raw };
        }
        Ok(())
    })
}

/// What a vGPU is, and what it is due.
///
/// -EBADF: there is no such vGPU. -EIO: it was lost.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_get_info(vgpu: Vgpu, info: *mut VgpuInfo) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let room = unsafe { memory::Output::new(info) }?;
        let info = worker.call(move |machine| {
            let (device, host) = machine.vgpu(vgpu)?;
            let found = host.vgpu(device.gfid());
            let found = found.ok_or_else(|| Failure::new(Errno::IO, "the vGPU is gone"))?;
            Ok(VgpuInfo {
                struct_size: 0,
                channel_count: found.profile.channel_count.into(),
                fb_bytes: found.profile.fb_bytes,
                bar_bytes: found.profile.bar_bytes,
                context_bytes: found.profile.context_bytes,
                weight: found.share.weight.into(),
                part: found.share.part.into(),
                cap: found.share.cap.into(),
                uuid: device.uuid(),
                state: device.state() as u32,
                gfid: device.gfid().raw().into(),
            })
        })?;
        room.put(&info);
        Ok(())
    })
}

/// Changes what a vGPU is due of the engines. It runs on.
///
/// -EBADF: there is no such vGPU. -EINVAL: a number is out of its range.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_vgpu_set_share(vgpu: Vgpu, share: *const Share) -> i32 {
    boundary::done(|| {
        let worker = handles::vgpu(vgpu)?;
        // SAFETY: the caller's word.
        let told = unsafe { memory::input(share) }?;
        let share = self::share(told.weight, told.part, told.cap)?;
        worker.call(move |machine| {
            let gfid = machine.gfid(vgpu)?;
            Ok(machine.host.set_share(gfid, share)?)
        })
    })
}
