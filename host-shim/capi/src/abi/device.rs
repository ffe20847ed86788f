//! Cards.

use crate::boundary;
use crate::failure::Failure;
use crate::types::{
    Device, DeviceConfig, Event, GODWIT_ABI_VERSION, GODWIT_RUN_NS_MAX, GODWIT_TRANSPORT_PROCESS,
    GODWIT_TRANSPORT_WINDOW, Limits, Scheduling,
};
use crate::worker::Worker;
use crate::{handles, memory};
use godwit_shim::AttachedMcu;
use godwit_sim_gpu::{Costs, GpuConfig};
use godwit_types::{
    Engines, FB_BYTES_MAX, Identity, Limit, Limits as CardLimits, Measure, PAGE_BYTES, Policy,
    Scheduling as CardScheduling,
};
use std::ffi::c_char;
use std::time::Duration;

/// Most bytes of contexts, and the latest time that a timer begins with.
const CONTEXT_BYTES_MAX: u64 = 1 << 36;
const START_NS_MAX: u64 = 1 << 62;
/// What a card writes into contexts unless told otherwise.
const CONTEXT_LAYOUT: u32 = 1;
/// How long firmware behind a window may take, in milliseconds: at most, and unless told otherwise.
const PATIENCE_MS_MAX: u32 = 600_000;
const PATIENCE_MS: u32 = 10_000;

/// The version of the library that runs, as GODWIT_ABI_VERSION is that of this header: the first 16
/// bits must be the same, and the last 16 at least those. It never fails, and leaves the thread's
/// message as it is.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_version() -> u32 {
    GODWIT_ABI_VERSION
}

/// Why the thread's last call failed, as a sentence in UTF-8; empty if it did not. It is never
/// NULL, belongs to the library, and is valid until the thread's next call of another function.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_last_error() -> *const c_char {
    boundary::last()
}

/// Powers a simulated card on, with a thread of its own that ends with godwit_close. Its GPU is in
/// this process; its firmware is, too, or is behind a window, and is waited for. The handle is put
/// at `device`, which is not changed after an error.
///
/// -EINVAL: a number is out of its range, something is set that the transport does not have, or the
/// window's file is no plain file. -ENOMEM, -EMFILE, ...: the system gives no memory, file or
/// thread. For a window also: -ENOENT, -EACCES, ...: its file cannot be opened. -ENAMETOOLONG: so
/// long a path has no file, or no socket. -ERANGE: the window is not all in the file. -EBUSY:
/// somebody else has claimed it, or a device is up in it. -ENODEV: something else lies there.
/// -EPROTONOSUPPORT: its registers or its firmware have another version. -ETIMEDOUT: the firmware
/// does not answer. -EIO: it has ended, or was at work before; or its line breaks. -ECHILD: the
/// process that used the library was forked, and this is the child.
///
/// # Safety
///
/// See POINTERS: the paths end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_open(config: *const DeviceConfig, device: *mut Device) -> i32 {
    boundary::done(|| {
        handles::check_process()?;
        // SAFETY: the caller's word.
        let config = unsafe { memory::input(config) }?;
        // SAFETY: the caller's word.
        let device = unsafe { memory::room(device) }?;
        // SAFETY: the caller's word.
        let window = unsafe { window(&config) }?;
        *device = handles::add_device(Worker::start(card(&config)?, window)?)?;
        Ok(())
    })
}

/// Where the firmware is; `None`: in this process.
///
/// # Safety
///
/// See POINTERS: the paths end with a zero.
unsafe fn window(config: &DeviceConfig) -> Result<Option<AttachedMcu>, Failure> {
    let &DeviceConfig { transport, patience_ms, window_at, window_path, line_path, .. } = config;
    let is_bare = (patience_ms, window_at) == (0, 0) && window_path.is_null();
    match transport {
        GODWIT_TRANSPORT_PROCESS if is_bare && line_path.is_null() => return Ok(None),
        GODWIT_TRANSPORT_PROCESS => {
            return Err(Failure::value("firmware in this process has no window, and no patience"));
        }
        GODWIT_TRANSPORT_WINDOW => {}
        _ => return Err(Failure::value(format!("no transport: {transport}"))),
    }
    let patience_ms = match patience_ms {
        0 => PATIENCE_MS,
        1..=PATIENCE_MS_MAX => patience_ms,
        _ => {
            let why = format!("patience_ms is {patience_ms}: up to {PATIENCE_MS_MAX} is allowed");
            return Err(Failure::value(why));
        }
    };
    // SAFETY: the caller's word.
    let window = unsafe { memory::path(window_path) }?;
    let line = match line_path.is_null() {
        true => None,
        // SAFETY: the caller's word.
        false => Some(unsafe { memory::path(line_path) }?),
    };
    let patience = Duration::from_millis(patience_ms.into());
    Ok(Some(AttachedMcu { window, at: window_at, line, patience }))
}

fn card(config: &DeviceConfig) -> Result<GpuConfig, Failure> {
    let pages = |what: &str, bytes: u64, most: u64| {
        if bytes == 0 || !bytes.is_multiple_of(PAGE_BYTES.into()) || bytes > most {
            return Err(Failure::value(format!(
                "{what} is {bytes}: a multiple of {PAGE_BYTES} up to {most} is allowed"
            )));
        }
        Ok(bytes)
    };
    let &DeviceConfig { context_layout, start_ns, .. } = config;
    if start_ns > START_NS_MAX {
        return Err(Failure::value(format!("start_ns is {start_ns}: {START_NS_MAX} is allowed")));
    }
    let identity = Identity {
        fb_bytes: pages("fb_bytes", config.fb_bytes, FB_BYTES_MAX)?,
        bar_bytes: pages("bar_bytes", config.bar_bytes, FB_BYTES_MAX)?,
        context_bytes: pages("context_bytes", config.context_bytes, CONTEXT_BYTES_MAX)?,
        context_layout: if context_layout == 0 { CONTEXT_LAYOUT } else { context_layout },
        engines: Engines::ALL,
    };
    Ok(GpuConfig { identity, start_ns, costs: Costs::default() })
}

/// Powers a card off. Its vGPUs are lost, and its handle and theirs are of no use any more. Calls
/// for it that other threads have begun are done first, or end with -EBADF.
///
/// -EBADF: there is no such device.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_close(device: Device) -> i32 {
    boundary::done(|| {
        handles::remove_device(device)?.end();
        Ok(())
    })
}

/// Lets a card work for `ns` nanoseconds of its own time, up to GODWIT_RUN_NS_MAX. Its time passes
/// in this call, and in those that wait for the card: in changes of state, reads, writes,
/// suspends and resumes.
///
/// -EBADF: there is no such device. -EINVAL: `ns` is too large.
#[unsafe(no_mangle)]
pub extern "C" fn godwit_run(device: Device, ns: u64) -> i32 {
    boundary::done(|| {
        let worker = handles::device(device)?;
        if ns > GODWIT_RUN_NS_MAX {
            return Err(Failure::value(format!("{ns} ns are longer than {GODWIT_RUN_NS_MAX}")));
        }
        worker.call(move |machine| {
            machine.run(ns);
            Ok(())
        })
    })
}

/// What a card's timer shows, in nanoseconds.
///
/// -EBADF: there is no such device.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_now(device: Device, now_ns: *mut u64) -> i32 {
    boundary::done(|| {
        let worker = handles::device(device)?;
        // SAFETY: the caller's word.
        let now_ns = unsafe { memory::room(now_ns) }?;
        *now_ns = worker.look(|machine| Ok(machine.host.now_ns()))?;
        Ok(())
    })
}

/// Changes how a card's vGPUs take turns. They run on.
///
/// -EBADF: there is no such device. -EINVAL: a number is out of its range.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_set_scheduling(
    device: Device,
    scheduling: *const Scheduling,
) -> i32 {
    boundary::done(|| {
        let worker = handles::device(device)?;
        // SAFETY: the caller's word.
        let told = unsafe { memory::input(scheduling) }?;
        let policy = u8::try_from(told.policy).ok().and_then(Policy::new);
        let policy = policy.ok_or_else(|| Failure::value(format!("no policy: {}", told.policy)))?;
        let averaging = match told.averaging {
            0 => CardScheduling::AVERAGING,
            // What is too much for it is out of range.
            some => u8::try_from(some).unwrap_or(u8::MAX),
        };
        let slice_ns = (told.slice_ns != 0).then_some(told.slice_ns);
        let how = CardScheduling { policy, slice_ns, averaging };
        if !how.is_valid() || told.reserved != 0 {
            return Err(Failure::value(format!("a number is out of its range: {told:?}")));
        }
        worker.call(move |machine| Ok(machine.host.set_scheduling(how)?))
    })
}

/// Changes how much of something is too much, for each vGPU of a card.
///
/// -EBADF: there is no such device. -EINVAL: a number is out of its range.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_set_limits(device: Device, limits: *const Limits) -> i32 {
    boundary::done(|| {
        let worker = handles::device(device)?;
        // SAFETY: the caller's word.
        let told = unsafe { memory::input(limits) }?;
        let mut limits = CardLimits { window_ms: told.window_ms, ..CardLimits::DEFAULT };
        for (at, limit) in limits.of.iter_mut().enumerate() {
            let measure = told.measure[at];
            let found = u8::try_from(measure).ok().and_then(Measure::new);
            let found = found.ok_or_else(|| Failure::value(format!("no measure: {measure}")))?;
            *limit = Limit { count: told.count[at], measure: found };
        }
        if !limits.is_valid() {
            return Err(Failure::value(format!("window_ms is {}", told.window_ms)));
        }
        worker.call(move |machine| Ok(machine.host.set_limits(&limits)?))
    })
}

/// Takes the oldest thing that happened on a card and was not told: 1, and it is at `event`; or 0,
/// and there is none. It never waits. Up to 1024 are kept; of more the oldest are dropped.
///
/// -EBADF: there is no such device.
///
/// # Safety
///
/// See POINTERS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn godwit_next_event(device: Device, event: *mut Event) -> i32 {
    boundary::status(|| {
        let worker = handles::device(device)?;
        // SAFETY: the caller's word.
        let room = unsafe { memory::Output::new(event) }?;
        let Some(event) = worker.look(|machine| Ok(machine.next_event()))? else { return Ok(0) };
        room.put(&event);
        Ok(1)
    })
}
