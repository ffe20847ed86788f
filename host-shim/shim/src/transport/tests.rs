//! Links over real sockets of this machine.

use super::*;
use crate::link::{LinkFraming, LinkMessage, Token};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustix::event::{PollFd, PollFlags};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

const TOKEN: Token = Token { uuid: [6; 16], number: 1 };
/// A peer that is there answers within this, whatever else the machine does.
const PATIENCE: Duration = Duration::from_secs(20);

/// An authority, and what it signs, as files in a folder.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for a host, which believes this authority.
    fn sign(&self, name: &str, host: &str) -> TlsFiles {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let files = TlsFiles {
            cert: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            ca: self.path("ca.pem"),
        };
        fs::write(&files.cert, cert.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

fn tls(files: &TlsFiles) -> Protection {
    Protection::Tls(TlsKeys::load(files).unwrap())
}

fn local() -> LinkAddress {
    "tcp:127.0.0.1:0".parse().unwrap()
}

/// Polls both ends until `done`, or one end fails.
fn drive(
    ends: &mut [LinkPort; 2],
    mut done: impl FnMut(&mut [LinkPort; 2], usize, LinkMessage) -> bool,
) -> Result<(), TransportError> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        for end in 0..2 {
            while let Some(message) = ends[end].poll(false)? {
                if done(ends, end, message) {
                    return Ok(());
                }
            }
        }
        ends[0].wait(false, Duration::from_millis(1))?;
    }
    panic!("nothing comes of it");
}

/// Connects two ends.
fn connected(
    address: &LinkAddress,
    [client, server]: [Protection; 2],
) -> Result<[LinkPort; 2], TransportError> {
    let listener = LinkListener::bind(address, server)?;
    let client = LinkPort::connect(&listener.address().unwrap(), &client)?;
    listener.wait(PATIENCE)?;
    let server = listener.accept()?.expect("it has connected");
    let mut ends = [client, server];
    let begin = Instant::now();
    while ends.iter().any(|end| !end.takes()) {
        assert!(begin.elapsed() < PATIENCE, "they do not agree");
        for end in &mut ends {
            assert_eq!(end.poll(false)?, None);
        }
    }
    Ok(ends)
}

/// A large message goes one way and small ones the other.
fn talk(mut ends: [LinkPort; 2]) {
    let data = LinkMessage::Data(TOKEN, (0..=255).cycle().take(crate::link::DATA_MAX).collect());
    for _ in 0..3 {
        ends[0].send(&data);
    }
    let mut count = 0;
    drive(&mut ends, |ends, end, message| {
        if end == 1 {
            assert_eq!(message, data);
            ends[1].send(&LinkMessage::Ready(TOKEN));
        } else {
            assert_eq!(message, LinkMessage::Ready(TOKEN));
            count += 1;
        }
        count == 3
    })
    .unwrap();
}

/// Accepts a peer, and sends back whatever it says until it goes, in parts of so many bytes.
fn echo(listener: LinkListener, part: usize) -> std::thread::JoinHandle<Result<(), String>> {
    std::thread::spawn(move || {
        let fail = |error: TransportError| error.to_string();
        listener.wait(PATIENCE).map_err(fail)?;
        let (mut socket, _) = listener.accept_socket().map_err(fail)?.expect("it has connected");
        let wait = |socket: &Socket| {
            let flags = PollFlags::IN | PollFlags::OUT;
            port::wait_for(&mut [PollFd::new(socket, flags)], Duration::from_millis(1))
        };
        while !socket.handshake().map_err(fail)? {
            assert_eq!(socket.identity(), None, "who it is cannot be known yet");
            wait(&socket).map_err(fail)?;
        }
        let mut bytes = vec![0; part];
        loop {
            match socket.receive(&mut bytes) {
                Ok(Some(count)) => {
                    let mut sent = 0;
                    while sent < count {
                        sent += socket.send(&bytes[sent..count]).map_err(fail)?;
                    }
                }
                Ok(None) => {
                    // The peer may go between the two.
                    if socket.wants_write() {
                        socket.send(&[]).map_err(fail)?;
                    }
                    wait(&socket).map_err(fail)?;
                }
                Err(TransportError::Closed) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
    })
}

#[test]
fn a_program_that_waits_says_and_hears_bytes_over_each_kind_of_socket() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let [one, other] = ["one", "other"].map(|name| tls(&authority.sign(name, "127.0.0.1")));
    let unix = LinkAddress::Unix(folder.path().join("link"));
    let kinds = [
        (unix, [Protection::Local, Protection::Local]),
        (local(), [Protection::Local, Protection::Local]),
        (local(), [one, other]),
    ];
    // More than fits a record of TLS, which is taken in parts that are none.
    let said: Vec<u8> = (0..=250).cycle().take(100_000).collect();
    for (address, [client, server]) in kinds {
        let listener = LinkListener::bind(&address, server).unwrap();
        let address = listener.address().unwrap();
        let echo = echo(listener, 1_000);
        let mut stream = LinkStream::connect(&address, &client, PATIENCE).unwrap();
        let mut heard = vec![0; said.len()];
        for _ in 0..3 {
            stream.write_all(&said).unwrap();
            stream.read_exact(&mut heard).unwrap();
            assert!(heard == said, "other bytes come back over {address}");
        }
        stream.set_patience(Some(Duration::from_millis(20)));
        let error = stream.read(&mut heard).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(stream);
        echo.join().unwrap().unwrap();
    }
}

#[test]
fn a_program_that_waits_learns_that_one_end_is_refused() {
    let (ours, others) = (Authority::new(), Authority::new());
    let good = ours.sign("good", "127.0.0.1");
    let stranger = TlsFiles { ca: good.ca.clone(), ..others.sign("stranger", "127.0.0.1") };
    let connect = |client: &TlsFiles, server: &TlsFiles| {
        let listener = LinkListener::bind(&local(), tls(server)).unwrap();
        let address = listener.address().unwrap();
        let echo = echo(listener, 1_000);
        let stream = LinkStream::connect(&address, &tls(client), PATIENCE);
        let told = match stream {
            Ok(mut stream) => stream.read(&mut [0]).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        (told, echo.join().unwrap().unwrap_err())
    };
    let (told, server) = connect(&good, &stranger);
    assert!(told.contains("invalid peer certificate"), "{told}");
    assert!(server.contains("alert"), "{server}");
    let (told, server) = connect(&stranger, &good);
    assert!(told.contains("alert"), "{told}");
    assert!(server.contains("invalid peer certificate"), "{server}");
}

#[test]
fn messages_go_over_each_kind_of_socket() {
    let folder = tempfile::tempdir().unwrap();
    let unix = LinkAddress::Unix(folder.path().join("link"));
    let plain = || [Protection::Local, Protection::Local];
    talk(connected(&unix, plain()).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "its name is taken away");
    talk(connected(&local(), plain()).unwrap());
    let authority = Authority::new();
    let [one, other] = ["one", "other"].map(|name| tls(&authority.sign(name, "127.0.0.1")));
    talk(connected(&local(), [one, other]).unwrap());
}

#[test]
fn a_unix_socket_is_its_users_alone_and_replaces_only_what_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("link");
    let address = LinkAddress::Unix(path.clone());
    let listener = LinkListener::bind(&address, Protection::Local).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = LinkListener::bind(&address, Protection::Local).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    drop(listener);
    // What a process leaves that had no time to tidy up.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(LinkListener::bind(&address, Protection::Local).unwrap());
    fs::write(&path, "mine").unwrap();
    let error = LinkListener::bind(&address, Protection::Local).unwrap_err();
    assert!(error.to_string().contains("no socket"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn plaintext_beyond_this_machine_is_refused_unless_it_is_asked_for() {
    let beyond = |address: &str| address.parse::<LinkAddress>().unwrap();
    for address in ["tcp:0.0.0.0:0", "tcp:[::]:0"] {
        let refusal = LinkListener::bind(&beyond(address), Protection::Local).unwrap_err();
        assert!(matches!(refusal, TransportError::Plaintext(_)), "{address}: {refusal}");
        let text = refusal.to_string();
        assert!(text.contains("beyond this machine") && text.contains("TLS"), "{text}");
    }
    let refusal = LinkPort::connect(&beyond("tcp:192.0.2.1:9"), &Protection::Local).unwrap_err();
    assert!(matches!(refusal, TransportError::Plaintext(_)), "{refusal}");
    let listener =
        LinkListener::bind(&beyond("tcp:0.0.0.0:0"), Protection::InsecurePlaintext).unwrap();
    assert!(matches!(listener.address().unwrap(), LinkAddress::Tcp { .. }));
}

/// Why two ends do not come together.
fn refusal(client: &TlsFiles, server: &TlsFiles) -> String {
    let error = connected(&local(), [tls(client), tls(server)]).unwrap_err();
    assert!(matches!(error, TransportError::Tls(_)), "{error}");
    error.to_string()
}

#[test]
fn a_certificate_that_is_not_the_peers_is_refused() {
    let (ours, others) = (Authority::new(), Authority::new());
    let good = ours.sign("good", "127.0.0.1");
    // Signed by somebody else, at either end.
    let stranger = TlsFiles { ca: good.ca.clone(), ..others.sign("stranger", "127.0.0.1") };
    let text = refusal(&good, &stranger);
    assert!(text.contains("invalid peer certificate"), "{text}");
    refusal(&stranger, &good);
    // Signed by the right one, for another host.
    let elsewhere = ours.sign("elsewhere", "elsewhere.example");
    let text = refusal(&good, &elsewhere);
    assert!(text.contains("not valid for"), "{text}");
    // Without TLS there is no way in, whichever end leaves it out.
    for plain in 0..2 {
        let mut how = [tls(&good), tls(&good)];
        how[plain] = Protection::Local;
        let error = connected(&local(), how).unwrap_err();
        let refused = matches!(
            error,
            TransportError::Tls(_)
                | TransportError::Link(_)
                | TransportError::Closed
                | TransportError::Io(_)
        );
        assert!(refused, "{error}");
    }
}

#[test]
fn files_that_hold_something_else_are_named() {
    let authority = Authority::new();
    let good = authority.sign("good", "localhost");
    let other = authority.sign("other", "localhost");
    let missing = TlsFiles { cert: authority.path("none"), ..good.clone() };
    let error = TlsKeys::load(&missing).unwrap_err().to_string();
    assert!(error.contains("/none: "), "{error}");
    let no_cert = TlsFiles { cert: good.key.clone(), ..good.clone() };
    let error = TlsKeys::load(&no_cert).unwrap_err().to_string();
    assert!(error.contains("good.key: there is no certificate in it"), "{error}");
    let mixed = TlsFiles { key: other.key, ..good.clone() };
    assert!(matches!(TlsKeys::load(&mixed), Err(TransportError::Tls(_))));
    let folder = TlsFiles { ca: Path::new("/").into(), ..good };
    assert!(TlsKeys::load(&folder).unwrap_err().to_string().contains("plain file"));
}

#[test]
fn a_peer_that_says_nothing_or_takes_nothing_is_gone() {
    let silence = Duration::from_millis(200);
    let plain = [Protection::Local, Protection::Local];
    let mut ends = connected(&local(), plain.clone()).unwrap().map(|end| end.with_silence(silence));
    // As long as both are there, nothing needs to be said.
    let begin = Instant::now();
    while begin.elapsed() < 3 * silence {
        for end in &mut ends {
            assert_eq!(end.poll(false).unwrap(), None);
        }
        ends[0].wait(false, silence / 20).unwrap();
    }
    let [mut one, other] = ends;
    let error = loop {
        match one.poll(false) {
            Ok(_) => one.wait(false, silence / 20).unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TransportError::Silent(_)), "{error}");
    drop(other);

    let [mut one, other] = connected(&local(), plain).unwrap().map(|end| end.with_silence(silence));
    let data = LinkMessage::Data(TOKEN, vec![1; crate::link::DATA_MAX]);
    let error = loop {
        if one.takes() {
            one.send(&data);
        }
        match one.poll(true) {
            Ok(_) => one.wait(true, silence / 20).unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TransportError::Silent(_)), "{error}");
    drop(other);
}

#[test]
fn a_frame_that_keep_alives_would_fill_up_is_silence() {
    let silence = Duration::from_millis(200);
    let (stream, mut peer) = UnixStream::pair().unwrap();
    let mut port = LinkPort::over(Socket::of_unix(stream).unwrap()).with_silence(silence);
    peer.write_all(LinkFraming::new().outgoing()).unwrap();
    // A frame whose length has grown on the way: hours of them would be taken for its message.
    peer.write_all(&40_000_u32.to_le_bytes()).unwrap();
    let begin = Instant::now();
    let error = loop {
        assert!(begin.elapsed() < 10 * silence, "the peer counts as there");
        peer.write_all(&[0; 8]).unwrap();
        match port.poll(false) {
            Ok(message) => assert_eq!(message, None),
            Err(error) => break error,
        }
        std::thread::sleep(silence / 4);
    };
    assert!(matches!(error, TransportError::Silent(_)), "{error}");
}

#[test]
fn a_link_that_is_closed_ends_with_what_came_before() {
    let plain = [Protection::Local, Protection::Local];
    let [mut one, mut other] = connected(&local(), plain).unwrap();
    one.send(&LinkMessage::Commit(TOKEN));
    while !one.is_flushed() {
        one.poll(true).unwrap();
    }
    drop(one);
    let begin = Instant::now();
    let mut arrived = Vec::new();
    let error = loop {
        assert!(begin.elapsed() < PATIENCE);
        match other.poll(false) {
            Ok(message) => arrived.extend(message),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TransportError::Closed | TransportError::Io(_)), "{error}");
    assert_eq!(arrived, [LinkMessage::Commit(TOKEN)]);
}
