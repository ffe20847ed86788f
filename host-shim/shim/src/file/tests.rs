use super::*;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

/// A state file's head, and what may follow it.
fn state(rest: &[u8]) -> Vec<u8> {
    [&head::fresh(), rest].concat()
}

/// Why nothing is written to a path; it is not, and nothing is left beside it.
fn refusal(path: &Path) -> String {
    let before = fs::symlink_metadata(path).map(|it| (it.file_type(), it.len())).ok();
    let why = StateFile::create(path, None).unwrap_err().to_string();
    assert_eq!(fs::symlink_metadata(path).map(|it| (it.file_type(), it.len())).ok(), before);
    let known = why.strip_prefix(&format!("{} ", path.display()));
    known.unwrap_or_else(|| panic!("{why}")).to_owned()
}

#[test]
fn a_state_file_replaces_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    for _ in 0..2 {
        let mut file = StateFile::create(&path, None).unwrap();
        file.append(b"stream").unwrap();
        file.commit().unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), state(b"stream"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others may read a guest's memory");
}

#[test]
fn what_is_no_state_file_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let mut changed = state(&[]);
    changed[9] ^= 1;
    let cut = state(&[])[..HEAD_BYTES - 1].to_vec();
    for bytes in [&b""[..], b"short", &[7; 100], &changed, &cut] {
        fs::write(place("a"), bytes).unwrap();
        assert_eq!(refusal(&place("a")), "is there already, and no state file");
    }
    fs::write(place("good"), state(&[])).unwrap();
    symlink(place("good"), place("link")).unwrap();
    symlink(place("none"), place("nowhere")).unwrap();
    let _socket = UnixListener::bind(place("socket")).unwrap();
    fs::create_dir(place("folder")).unwrap();
    for name in ["link", "nowhere", "socket", "folder"] {
        assert_eq!(refusal(&place(name)), "is there already, and no plain file", "{name}");
    }
    let partial = fs::read_dir(folder.path())
        .unwrap()
        .find(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".partial"));
    assert!(partial.is_none(), "{partial:?}");
}

#[test]
fn what_has_come_meanwhile_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    let file = StateFile::create(&path, None).unwrap();
    fs::write(&path, "somebody's").unwrap();
    let why = file.commit().unwrap_err().to_string();
    assert!(why.ends_with("a.state is there already, and no state file"), "{why}");
    assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_a_crash_left_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    let partial = folder.path().join("a.state.partial");
    fs::write(&partial, "half").unwrap();
    let why = refusal(&path);
    let expected = format!("is not free: {} is there; if no suspend", partial.display());
    assert!(why.starts_with(&expected) && why.ends_with("remove it"), "{why}");
    assert_eq!(fs::read(&partial).unwrap(), b"half");
    fs::remove_file(&partial).unwrap();
    StateFile::create(&path, None).unwrap();
}

/// A file that is as it stands on the disk, and how it is opened to be resumed.
fn claim(path: &Path, keep: bool) -> Result<StateReader, String> {
    let options = ResumeOptions { key: None, keep };
    StateReader::claim(path, &options).map_err(|error| {
        let why = error.to_string();
        let named = why.strip_prefix(&path.display().to_string());
        named.unwrap_or_else(|| panic!("{why}")).trim_start_matches([':', ' ']).to_owned()
    })
}

#[test]
fn a_file_is_claimed_once_at_a_time_and_spent_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    fs::write(&path, state(b"stream")).unwrap();
    let mut first = claim(&path, false).unwrap();
    assert_eq!(claim(&path, false).unwrap_err(), "is being resumed by somebody else");
    assert_eq!(claim(&path, true).unwrap_err(), "is being resumed by somebody else");
    // It is not to be replaced either. To look at it is nobody's business.
    assert_eq!(refusal(&path), "is there already, and is being resumed");
    assert_eq!(StateReader::look(&path, None).unwrap().mark(), Mark::Fresh);
    first.spend().unwrap();
    drop(first);
    let why = claim(&path, false).unwrap_err();
    assert!(why.starts_with("was resumed before"), "{why}");
    assert_eq!(StateReader::look(&path, None).unwrap().mark(), Mark::Spent);
    assert_eq!(&fs::read(&path).unwrap()[HEAD_BYTES..], b"stream");
    // One that is spent may be replaced.
    StateFile::create(&path, None).unwrap().commit().unwrap();
    claim(&path, false).unwrap();
}

#[test]
fn a_resume_that_keeps_the_file_neither_asks_nor_writes_the_mark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    fs::write(&path, state(b"stream")).unwrap();
    for _ in 0..2 {
        claim(&path, true).unwrap().spend().unwrap();
        assert_eq!(fs::read(&path).unwrap(), state(b"stream"));
    }
    claim(&path, false).unwrap().spend().unwrap();
    let spent = fs::read(&path).unwrap();
    claim(&path, true).unwrap().spend().unwrap();
    assert_eq!(fs::read(&path).unwrap(), spent);
}

#[test]
fn a_start_that_did_not_come_to_pass_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    fs::write(&path, state(b"stream")).unwrap();
    let mut file = claim(&path, false).unwrap();
    file.spend().unwrap();
    file.unspend().unwrap();
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), state(b"stream"));
}

#[test]
fn a_file_whose_mark_is_half_written_counts_as_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    fs::write(&path, state(b"stream")).unwrap();
    File::options().write(true).open(&path).unwrap().write_all_at(b"spent", 16).unwrap();
    let why = claim(&path, false).unwrap_err();
    assert!(why.starts_with("whether it was resumed before is not known"), "{why}");
    claim(&path, true).unwrap();
}

#[test]
fn what_is_put_away_is_gone_or_spent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    StateFile::put_away(&path).unwrap();
    fs::write(&path, state(b"stream")).unwrap();
    StateFile::put_away(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn what_is_no_state_file_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    let mut changed = state(&[]);
    changed[10] ^= 1;
    for (bytes, why) in [
        (b"something else, and long enough to be".to_vec(), "is no state file, or one of a build"),
        (state(&[])[..31].to_vec(), "is no state file, or one of a build"),
        (changed, "is damaged: its head does not have its CRC"),
    ] {
        fs::write(&path, bytes).unwrap();
        let found = claim(&path, false).unwrap_err();
        assert!(found.starts_with(why), "{found}");
    }
    assert_eq!(claim(folder.path(), false).unwrap_err(), "it is no plain file");
}

/// An empty file that somebody has opened.
fn opened(path: &Path) -> File {
    File::options().read(true).write(true).create_new(true).open(path).unwrap()
}

fn create_open(lent: &File) -> io::Result<StateFile> {
    StateFile::create_open(lent, Path::new("descriptor"), None)
}

#[test]
fn a_state_goes_into_a_file_that_somebody_has_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    let lent = opened(&path);
    let mut file = create_open(&lent).unwrap();
    file.append(b"stream").unwrap();
    // Until all of it is there it is no state file, whatever happens.
    assert_eq!(fs::read(&path).unwrap(), [&[0; HEAD_BYTES][..], b"stream"].concat());
    let why = create_open(&lent).unwrap_err();
    assert_eq!(why.kind(), io::ErrorKind::ResourceBusy, "{why}");
    file.commit().unwrap();
    assert_eq!(fs::read(&path).unwrap(), state(b"stream"));
    let why = create_open(&lent).unwrap_err();
    assert_eq!(why.kind(), io::ErrorKind::AlreadyExists, "{why}");
    assert_eq!(fs::read(&path).unwrap(), state(b"stream"));
}

#[test]
fn a_lent_file_that_is_given_up_is_empty_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    let lent = opened(&path);
    for _ in 0..2 {
        let mut file = create_open(&lent).unwrap();
        file.append(b"stream").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
    let mut file = create_open(&lent).unwrap();
    file.disk.sync = |_| Err(io::Error::other("no"));
    assert!(matches!(file.commit(), Err(CommitError::Withdrawn(_))));
    assert_eq!(fs::read(&path).unwrap(), b"");
    // The disk fails with the head, and takes the mark.
    let mut file = create_open(&lent).unwrap();
    file.disk.sync_folder = |_| Err(io::Error::other("no"));
    assert!(matches!(file.commit(), Err(CommitError::Withdrawn(_))));
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn a_lent_file_is_claimed_and_spent_as_another_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    fs::write(&path, state(b"stream")).unwrap();
    let open = |write: bool| File::options().read(true).write(write).open(&path).unwrap();
    let claim_open = |lent: &File, keep| {
        StateReader::claim_open(lent, Path::new("it"), &ResumeOptions { key: None, keep })
    };
    let lent = open(true);
    let mut first = claim_open(&lent, false).unwrap();
    // The same descriptor, another one, and the name: each is somebody else.
    assert!(matches!(claim_open(&lent, false), Err(FileError::Busy(_))));
    assert!(matches!(claim_open(&open(true), true), Err(FileError::Busy(_))));
    assert_eq!(claim(&path, false).unwrap_err(), "is being resumed by somebody else");
    first.spend().unwrap();
    drop(first);
    assert!(matches!(claim_open(&lent, false), Err(FileError::Spent(_))));
    claim_open(&lent, true).unwrap();
}

#[test]
fn a_descriptor_is_used_for_what_it_was_opened_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.state");
    fs::write(&path, state(b"stream")).unwrap();
    let claim_open = |lent: &File, keep| {
        let options = ResumeOptions { key: None, keep };
        StateReader::claim_open(lent, Path::new("it"), &options).map_err(|error| match error {
            FileError::Io { error, .. } => error,
            error => panic!("{error}"),
        })
    };
    let bad = Some(rustix::io::Errno::BADF.raw_os_error());
    let to_read = File::open(&path).unwrap();
    assert_eq!(claim_open(&to_read, false).unwrap_err().raw_os_error(), bad);
    claim_open(&to_read, true).unwrap();
    let to_write = File::options().write(true).open(&path).unwrap();
    assert_eq!(claim_open(&to_write, true).unwrap_err().raw_os_error(), bad);
    assert_eq!(create_open(&to_read).unwrap_err().raw_os_error(), bad);
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(claim_open(&null, false).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(create_open(&null).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}
