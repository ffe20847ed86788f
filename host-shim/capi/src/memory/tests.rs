use super::*;

fn errno<T>(result: Result<T, Failure>) -> Errno {
    result.err().expect("it is refused").errno
}

/// The sum of the parts is the whole: there is no padding.
#[test]
fn structures_have_no_padding() {
    let pointer = size_of::<*const u8>();
    for (whole, parts) in [
        (size_of::<DeviceConfig>(), 2 * 4 + 4 * 8 + 2 * 4 + 8 + 2 * pointer),
        (size_of::<VgpuConfig>(), 2 * 4 + 2 * 8 + 4 * 4 + 16),
        (size_of::<VgpuInfo>(), 2 * 4 + 2 * 8 + 4 * 4 + 16 + 2 * 4),
        (size_of::<Share>(), 4 * 4),
        (size_of::<Scheduling>(), 2 * 4 + 8 + 2 * 4),
        (size_of::<Limits>(), 2 * 4 + 8 * 4),
        (size_of::<PrecopyInfo>(), 2 * 4 + 2 * 8),
        (size_of::<DmaWindow>(), 2 * 4 + 3 * 8 + 2 * 4 + 8),
        (size_of::<DmaRange>(), 2 * 8),
        (size_of::<FileOptions>(), 2 * 4 + pointer),
        (size_of::<Event>(), 2 * 4 + 2 * 8 + 2 * 4 + 256),
    ] {
        assert_eq!(whole, parts);
    }
}

/// A share, and room behind it.
#[repr(C, align(8))]
struct Longer(Share, [u8; 16]);

fn longer(struct_size: u32, behind: u8) -> Longer {
    let share = Share { struct_size, weight: 3, part: 4, cap: 5 };
    Longer(share, [0, 0, 0, 0, 0, 0, 0, behind, 0, 0, 0, 0, 0, 0, 0, 0])
}

fn taken(from: &Longer) -> Result<Share, Failure> {
    // SAFETY: all of it is there, and no size is larger.
    unsafe { input(std::ptr::from_ref(from).cast::<Share>()) }
}

#[test]
fn a_structure_of_another_version_is_taken_as_far_as_it_is_known() {
    let share = taken(&longer(16, 9)).unwrap();
    assert_eq!((share.weight, share.part, share.cap), (3, 4, 5));
    assert_eq!(taken(&longer(32, 0)).unwrap().cap, 5);
    assert_eq!(errno(taken(&longer(32, 9))), Errno::TOOBIG);
    for short in [0, 3, 15] {
        assert_eq!(errno(taken(&longer(short, 0))), Errno::INVAL);
    }
    assert_eq!(errno(taken(&longer(4097, 0))), Errno::TOOBIG);
}

#[test]
fn a_structure_is_filled_as_far_as_it_is_known() {
    let mut room = longer(32, 9);
    // SAFETY: all of it is there.
    let output = unsafe { Output::new((&raw mut room).cast::<Share>()) }.unwrap();
    output.put(&Share { struct_size: 0, weight: 7, part: 8, cap: 9 });
    let share = room.0;
    assert_eq!((share.struct_size, share.weight, share.part, share.cap), (32, 7, 8, 9));
    assert_eq!(room.1, [0; 16]);
}

fn lent(at: *const u64, count: usize) -> Result<usize, Failure> {
    // SAFETY: what is not refused has no values.
    unsafe { slice(at, count) }.map(<[u64]>::len)
}

#[test]
fn a_path_is_looked_at_as_far_as_one_can_be_long() {
    let found = |bytes: &[u8]| {
        // SAFETY: a zero is in it, or it is as long as no path is.
        unsafe { path(bytes.as_ptr().cast()) }
    };
    let mut longest = vec![b'a'; PATH_BYTES_MAX];
    assert_eq!(errno(found(&longest)), Errno::NAMETOOLONG);
    longest[PATH_BYTES_MAX - 1] = 0;
    assert_eq!(found(&longest).unwrap().as_os_str().len(), PATH_BYTES_MAX - 1);
    assert_eq!(
        found(b"\xff/b\0c\0").unwrap(),
        PathBuf::from(OsString::from_vec(vec![255, 47, 98]))
    );
    assert_eq!(errno(found(b"\0")), Errno::NOENT);
}

#[test]
fn pointers_that_cannot_be_are_refused() {
    let values = [0_u64; 2];
    let odd = values.as_ptr().cast::<u8>().wrapping_add(1).cast::<u64>();
    assert_eq!(errno(lent(std::ptr::null(), 1)), Errno::FAULT);
    assert_eq!(errno(lent(odd, 1)), Errno::FAULT);
    assert_eq!(errno(lent(values.as_ptr(), usize::MAX)), Errno::INVAL);
    assert_eq!(errno(lent(values.as_ptr(), usize::MAX / 16 + 1)), Errno::INVAL);
    assert_eq!(lent(std::ptr::null(), 0), Ok(0));
    // SAFETY: it is null.
    assert_eq!(errno(unsafe { path(std::ptr::null()) }), Errno::FAULT);
    assert_eq!(errno(duplicate(-1)), Errno::BADF);
    assert_eq!(errno(duplicate(i32::MAX)), Errno::BADF);
}
