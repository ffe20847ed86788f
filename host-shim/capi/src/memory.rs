//! Memory of callers: the one place where pointers are followed. What can be checked of one is:
//! that it is not null, that it is aligned, that its length can be one. That so many bytes are
//! there is the caller's word.

use crate::failure::Failure;
use crate::types::{
    Device, DeviceConfig, DmaRange, DmaWindow, Event, FileOptions, Limits, PrecopyInfo, Scheduling,
    Share, Vgpu, VgpuConfig, VgpuInfo,
};
use rustix::io::Errno;
use std::ffi::{OsString, c_char};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Longest structure that is looked at, and longest path with its zero (`PATH_MAX`).
const STRUCT_BYTES_MAX: usize = 4096;
const PATH_BYTES_MAX: usize = 4096;

/// A type of integers and pointers alone, of which every pattern of bits is a value.
///
/// # Safety
///
/// It is `repr(C)`, has no padding, and is as said.
pub(crate) unsafe trait Plain: Copy {}

/// A plain structure that begins with its size as its user knows it.
///
/// # Safety
///
/// Its first field is a `u32`.
pub(crate) unsafe trait Sized32: Plain + Default {
    /// Bytes that it had when it was new, without which it is nothing.
    const BYTES_MIN: usize = size_of::<Self>();
}

macro_rules! plain {
    ($($name:ty),+) => {
        $(
            // SAFETY: each is `repr(C)`, or an integer, and has integers or pointers without
            // padding between them, which the test below adds up.
            unsafe impl Plain for $name {}
        )+
    };
}

macro_rules! sized {
    ($($name:ty),+) => {
        plain!($($name),+);
        $(
            // SAFETY: `struct_size` comes first in each of them.
            unsafe impl Sized32 for $name {}
        )+
    };
}

plain!(u8, u32, u64, usize, Device, Vgpu, DmaRange);
sized!(DeviceConfig, VgpuConfig, VgpuInfo, Share, Scheduling, Limits);
sized!(PrecopyInfo, DmaWindow, FileOptions, Event);

fn fault(what: &str) -> Failure {
    Failure::new(Errno::FAULT, what)
}

fn check<T>(at: *const T) -> Result<(), Failure> {
    if at.is_null() {
        return Err(fault("a pointer is null"));
    }
    if !at.is_aligned() {
        return Err(fault("a pointer is not aligned"));
    }
    Ok(())
}

/// Whether so many values can lie at `at`; for none of them it need not lead anywhere.
fn check_slice<T>(at: *const T, count: usize) -> Result<(), Failure> {
    if count == 0 {
        return Ok(());
    }
    check(at)?;
    let bytes = count.checked_mul(size_of::<T>()).filter(|bytes| *bytes <= isize::MAX as usize);
    let end = bytes.and_then(|bytes| at.addr().checked_add(bytes));
    end.map(drop).ok_or_else(|| Failure::value(format!("there is no memory of {count} values")))
}

/// Values that a caller lends.
///
/// # Safety
///
/// Unless it is null, misaligned or too long, `count` values lie at `at`, and nobody changes them
/// meanwhile.
pub(crate) unsafe fn slice<'a, T: Plain>(at: *const T, count: usize) -> Result<&'a [T], Failure> {
    check_slice(at, count)?;
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: it is aligned and of a length that can be; the rest is the caller's word.
    Ok(unsafe { std::slice::from_raw_parts(at, count) })
}

/// Room that a caller lends: its values are there already.
///
/// # Safety
///
/// Unless it is null, misaligned or too long, `count` values lie at `at`, and nobody looks at them
/// meanwhile.
pub(crate) unsafe fn slice_mut<'a, T: Plain>(
    at: *mut T,
    count: usize,
) -> Result<&'a mut [T], Failure> {
    check_slice(at, count)?;
    if count == 0 {
        return Ok(&mut []);
    }
    // SAFETY: it is aligned and of a length that can be; the rest is the caller's word.
    Ok(unsafe { std::slice::from_raw_parts_mut(at, count) })
}

/// Room for one value.
///
/// # Safety
///
/// Unless it is null or misaligned, a value lies at `at`, and nobody looks at it meanwhile.
pub(crate) unsafe fn room<'a, T: Plain>(at: *mut T) -> Result<&'a mut T, Failure> {
    check(at)?;
    // SAFETY: it is not null and aligned; the rest is the caller's word.
    Ok(unsafe { &mut *at })
}

/// The size that a structure says of itself, if it is one that can be.
///
/// # Safety
///
/// Unless it is null or misaligned, a `u32` lies at `at`, and nobody changes it meanwhile.
unsafe fn told_size<T: Sized32>(at: *const T) -> Result<usize, Failure> {
    check(at)?;
    // SAFETY: the size comes first in it; the rest is the caller's word.
    let size = unsafe { at.cast::<u32>().read() } as usize;
    if size < T::BYTES_MIN {
        let needed = T::BYTES_MIN;
        return Err(Failure::value(format!("struct_size is {size}, and {needed} are needed")));
    }
    if size > STRUCT_BYTES_MAX {
        return Err(Failure::new(Errno::TOOBIG, format!("struct_size is {size}")));
    }
    Ok(size)
}

/// A structure that a caller hands in. One that is longer than it is known here must have zeros
/// there: nothing is asked for that is not known.
///
/// # Safety
///
/// Unless it is null or misaligned, as many bytes as it says of itself lie at `at`, and nobody
/// changes them meanwhile.
pub(crate) unsafe fn input<T: Sized32>(at: *const T) -> Result<T, Failure> {
    // SAFETY: the same.
    let size = unsafe { told_size(at) }?;
    // SAFETY: so many bytes are there, the caller says.
    let bytes = unsafe { slice(at.cast::<u8>(), size) }?;
    let (known, unknown) = bytes.split_at(size.min(size_of::<T>()));
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(Failure::new(
            Errno::TOOBIG,
            format!("the structure is longer than {} bytes, and not all 0 there", known.len()),
        ));
    }
    let mut value = T::default();
    // SAFETY: it is plain, so that any bytes make one, and at least as long as them.
    unsafe {
        std::ptr::copy_nonoverlapping(known.as_ptr(), (&raw mut value).cast::<u8>(), known.len());
    }
    Ok(value)
}

/// A structure that is filled for a caller, which says how long it is.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    bytes: &'a mut [u8],
}

impl<'a> Output<'a> {
    /// Checks it, before anything is done that it is to tell of.
    ///
    /// # Safety
    ///
    /// Unless it is null or misaligned, as many bytes as it says of itself lie at `at`, and nobody
    /// looks at them meanwhile.
    pub(crate) unsafe fn new<T: Sized32>(at: *mut T) -> Result<Self, Failure> {
        // SAFETY: the same.
        let size = unsafe { told_size(at.cast_const()) }?;
        // SAFETY: so many bytes are there, the caller says.
        let bytes = unsafe { slice_mut(at.cast::<u8>(), size) }?;
        Ok(Self { bytes })
    }

    /// Fills it as far as both sides know it, except for its size.
    pub(crate) fn put<T: Sized32>(self, value: &T) {
        // SAFETY: it is plain, without padding, so all of its bytes are there.
        let from = unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>())
        };
        let (size, rest) = self.bytes.split_at_mut(size_of::<u32>());
        let fields = &from[size.len()..];
        let count = fields.len().min(rest.len());
        rest[..count].copy_from_slice(&fields[..count]);
        rest[count..].fill(0);
    }
}

/// A path that a caller names. No byte is looked at behind the longest that the system takes.
///
/// # Safety
///
/// Unless it is null, bytes lie at `at` up to a zero or to as many as a path can have, and nobody
/// changes them meanwhile.
pub(crate) unsafe fn path(at: *const c_char) -> Result<PathBuf, Failure> {
    check(at)?;
    let (mut bytes, mut next) = (Vec::new(), at);
    for _ in 0..PATH_BYTES_MAX {
        // SAFETY: no byte before was the zero, so this one is there: the caller's word.
        let byte = unsafe { next.read() };
        next = next.wrapping_add(1);
        match byte {
            0 if bytes.is_empty() => return Err(Failure::new(Errno::NOENT, "a path is empty")),
            0 => return Ok(PathBuf::from(OsString::from_vec(bytes))),
            // A `char` has a sign or none; a byte of a path has none.
            byte => bytes.push(byte as u8),
        }
    }
    Err(Failure::new(Errno::NAMETOOLONG, "a path is too long"))
}

/// A descriptor of the library's own for a file that a caller has. The system says whether there
/// is one.
pub(crate) fn duplicate(fd: RawFd) -> Result<OwnedFd, Failure> {
    if fd < 0 {
        return Err(Failure::new(Errno::BADF, format!("{fd} is no file descriptor")));
    }
    // SAFETY: it is not -1, and is only handed to the system, in one call; a number that is closed
    // is refused there.
    let lent = unsafe { BorrowedFd::borrow_raw(fd) };
    let owned = rustix::io::fcntl_dupfd_cloexec(lent, 0);
    owned.map_err(|errno| Failure::new(errno, format!("file descriptor {fd}: {errno}")))
}

#[cfg(test)]
mod tests;
