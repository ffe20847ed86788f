//! The sockets' folder, and their names.

use crate::serving::{ATTACKED, NEIGHBOUR, Serving, alone, config};
use godwit_server::{Client, Server, control_socket, device_socket, migration_socket};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![control_socket(folder)];
    for vgpu in [ATTACKED, NEIGHBOUR] {
        all.extend([device_socket(folder, vgpu), migration_socket(folder, vgpu)]);
    }
    all.sort();
    all
}

fn found(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A folder of this user alone.
fn private() -> tempfile::TempDir {
    let mode = Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(mode).tempdir().unwrap()
}

/// Why there is no server.
fn refused(folder: &Path) -> String {
    match Server::new(&config(folder)) {
        Ok(_) => panic!("there is a server"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn sockets_are_their_users_alone_and_go_with_the_server() {
    let mut serving = Serving::start();
    let folder = serving.sockets.clone();
    for _ in 0..2 {
        assert_eq!(found(&folder), names(&folder));
        assert_eq!(mode(&folder), 0o700);
        for name in names(&folder) {
            assert_eq!(mode(&name), 0o600, "{}", name.display());
        }
        serving.stop();
        assert!(found(&folder).is_empty(), "names are left: {:?}", found(&folder));
        serving.start_again();
    }
    serving.stop();
}

#[test]
fn a_folder_that_others_may_look_into_is_refused() {
    let _alone = alone();
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("sockets");
    fs::create_dir(&folder).unwrap();
    for wide in [0o755, 0o711, 0o770, 0o1777, 0o701] {
        fs::set_permissions(&folder, Permissions::from_mode(wide)).unwrap();
        let why = refused(&folder);
        let asked = format!("others may look into it (mode {:o}): `chmod 700`", wide & 0o777);
        assert!(why.contains(&asked) && why.contains(folder.to_str().unwrap()), "{why}");
        // It may be of use for something else.
        assert_eq!((mode(&folder), found(&folder).len()), (wide, 0));
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    let server = Server::new(&config(&folder)).unwrap();
    assert_eq!(found(&folder), names(&folder));
    drop(server);
    assert_eq!(mode(&folder), 0o700);
}

#[test]
fn a_folder_of_another_user_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    // Only root can give it away.
    if std::os::unix::fs::chown(folder.path(), Some(65534), None).is_err() {
        return;
    }
    let why = refused(folder.path());
    assert!(why.contains("it is of user 65534, and not the server's"), "{why}");
}

#[test]
fn a_socket_of_a_process_that_is_gone_is_replaced() {
    let _alone = alone();
    let folder = private();
    for name in names(folder.path()) {
        drop(UnixListener::bind(&name).unwrap());
        UnixStream::connect(&name).unwrap_err();
    }
    let server = Server::new(&config(folder.path())).unwrap();
    for name in names(folder.path()) {
        UnixStream::connect(&name).unwrap();
        assert_eq!(mode(&name), 0o600, "{}", name.display());
    }
    drop(server);
    assert!(found(folder.path()).is_empty());
}

#[test]
fn a_name_that_something_else_has_is_left_to_it() {
    let _alone = alone();
    let folder = private();
    let taken = migration_socket(folder.path(), NEIGHBOUR);
    fs::write(&taken, "mine").unwrap();
    let why = refused(folder.path());
    assert!(why.contains("taken by something that is none"), "{why}");
    assert_eq!(found(folder.path()), [taken.as_path()], "names that were had before are left");
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
    fs::remove_file(&taken).unwrap();

    // A link is not followed, whatever it leads to.
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &taken).unwrap();
    let why = refused(folder.path());
    assert!(why.contains("taken by something that is none"), "{why}");
    assert_eq!(found(folder.path()), [taken.as_path()]);
}

#[test]
fn a_second_server_in_the_folder_is_refused_and_the_first_serves_on() {
    let mut serving = Serving::start();
    let mut client = Client::connect(&serving.device(ATTACKED)).unwrap();
    for _ in 0..3 {
        let why = refused(&serving.sockets);
        assert!(why.contains("another process listens there already"), "{why}");
    }
    assert_eq!(found(&serving.sockets), names(&serving.sockets));
    client.read_config(0, 4).unwrap();
    Client::connect(&serving.device(NEIGHBOUR)).unwrap();
    drop(client);
    serving.stop();
}
