//! Who asks from other machines: over TLS 1.3, with a certificate at either end.

use crate::control::Asker;
use crate::neighbour::Neighbour;
use crate::serving::{ATTACKED, PATIENCE, Serving, alone, config, control, wait_until};
use godwit_control::{Ask, Told};
use godwit_server::{ConfigError, ControlConfig, Server, ServerConfig, ServerError};
use godwit_shim::{LinkAddress, LinkStream, Protection, TlsFiles, TlsKeys};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

/// More than are heard at a time.
const HALF_OPEN: usize = 200;
const LIST: &[u8] = b"{\"command\":\"list\"}\n";
/// What is told of who is not let in.
const REFUSED: &str = " is refused without a certificate: ";
/// How that one is told: a fatal alert about the version.
const ALERT_VERSION: [u8; 7] = [21, 3, 3, 0, 2, 2, 70];

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

    /// A certificate for this machine, with a name.
    fn sign(&self, name: &str) -> TlsFiles {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        let ca = self.folder.path().join("ca.pem");
        let files = TlsFiles { cert: path("pem"), key: path("key"), ca };
        fs::write(&files.cert, cert.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

/// The greeting of one who speaks TLS 1.2 and nothing newer: the version, 32 bytes at random, no
/// session, one suite, no compression, and one way to sign.
fn hello_tls12() -> Vec<u8> {
    let head = [22, 3, 1, 0, 55, 1, 0, 0, 51, 3, 3];
    let tail = [0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    [head.as_slice(), &[0x5a; 32], &tail].concat()
}

fn tls(files: &TlsFiles) -> Protection {
    Protection::Tls(TlsKeys::load(files).unwrap())
}

fn remote(protection: Protection) -> ControlConfig {
    let listen = Some("tcp:127.0.0.1:0".parse().unwrap());
    ControlConfig { listen, protection, ..control() }
}

fn serving(authority: &Authority) -> Serving {
    let how = tls(&authority.sign("server"));
    Serving::start_with(|_| remote(how))
}

fn asker(serving: &Serving, how: &Protection) -> Asker<LinkStream> {
    Asker::over(LinkStream::connect(serving.remote(), how, PATIENCE).unwrap())
}

/// Connects, and says nothing of TLS.
fn plain(serving: &Serving) -> TcpStream {
    let LinkAddress::Tcp { host, port } = serving.remote() else { panic!("it is TCP") };
    let stream = TcpStream::connect((host.as_str(), *port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that somebody is told until it is cut off.
fn hear_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    heard
}

#[test]
fn who_has_a_certificate_of_the_authority_may_ask_and_have_things_changed() {
    let authority = Authority::new();
    let mut serving = serving(&authority);
    let mut alice = asker(&serving, &tls(&authority.sign("alice")));
    assert_eq!(alice.list().len(), 2);
    let destroy = Ask::Destroy { vgpu: ATTACKED.into() };
    assert_eq!(alice.ask(&destroy), Told::Destroyed(ATTACKED.into()));
    let refusal = alice.refused(&destroy);
    assert_eq!(Asker::connect(&serving).list().len(), 1);
    let question = format!("{{\"command\":\"destroy\",\"vgpu\":\"{ATTACKED}\"}}");
    serving.wait_for_note(&refusal.message);
    let notes = serving.take_notes();
    for end in [" is done".to_owned(), format!(" is refused: {refusal}")] {
        let is_it = |note: &&String| {
            note.starts_with("control: `")
                && note.contains("CN=alice` at 127.0.0.1:")
                && note.ends_with(&format!(": {question}{end}"))
        };
        assert_eq!(notes.iter().filter(is_it).count(), 1, "{end}: {notes:#?}");
    }
    // Many questions at once, more than fit a record, and more answers than are kept for it.
    alice.say(&LIST.repeat(3_000));
    for _ in 0..3_000 {
        assert!(alice.hear().unwrap().starts_with("{\"vgpus\":"));
    }
    // It goes with a word, and is not cut off.
    drop(alice);
    let mut bob = asker(&serving, &tls(&authority.sign("bob")));
    assert_eq!(bob.list().len(), 1);
    assert_eq!(serving.noted("cut off"), 0);
    serving.stop();
}

/// One that believes the authority and has no certificate.
fn without_certificate(authority: &Authority, serving: &Serving) -> std::io::Error {
    let mut roots = rustls::RootCertStore::empty();
    let ca = fs::read(authority.folder.path().join("ca.pem")).unwrap();
    roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "127.0.0.1".try_into().unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = plain(serving);
    let mut tls = rustls::Stream::new(&mut tls, &mut stream);
    // It may be told only when it listens.
    tls.write_all(LIST).and_then(|()| tls.read_exact(&mut [0])).unwrap_err()
}

#[test]
fn who_has_no_certificate_or_anothers_or_speaks_otherwise_is_refused_and_told_of() {
    let (authority, others) = (Authority::new(), Authority::new());
    let mut serving = serving(&authority);
    let mut neighbour = Neighbour::new(&serving);
    let mut alice = asker(&serving, &tls(&authority.sign("alice")));
    let refused = |count: usize, why: &str| {
        wait_until(why, || serving.noted(REFUSED) == count);
        assert_eq!(serving.noted(&format!("{REFUSED}{why}")), 1, "{why}");
    };

    without_certificate(&authority, &serving);
    refused(1, "TLS: peer sent no certificates");

    let good = authority.sign("mallory");
    let stranger = TlsFiles { ca: good.ca, ..others.sign("stranger") };
    let stream = LinkStream::connect(serving.remote(), &tls(&stranger), PATIENCE);
    // Whether it is believed shows when it listens.
    if let Ok(mut stream) = stream {
        stream.read(&mut [0]).unwrap_err();
    }
    refused(2, "TLS: invalid peer certificate");

    let mut old = plain(&serving);
    old.write_all(&hello_tls12()).unwrap();
    assert_eq!(hear_all(&mut old), ALERT_VERSION);
    refused(3, "TLS: peer is incompatible");

    let mut plaintext = plain(&serving);
    plaintext.write_all(LIST).unwrap();
    let heard = hear_all(&mut plaintext);
    assert!(!heard.contains(&b'{'), "{}", heard.escape_ascii());
    refused(4, "TLS: received corrupt message");

    let mut garbage = plain(&serving);
    // It may be cut off before all is said.
    let _ = garbage.write_all(&[0xff; 1 << 20]);
    assert!(!hear_all(&mut garbage).contains(&b'{'));
    wait_until("garbage is told of", || serving.noted(REFUSED) == 5);

    drop(plain(&serving));
    refused(6, "it has gone");

    // None of them was anybody's, and each was told of with where it was.
    assert_eq!(serving.noted("control: 127.0.0.1:"), 6);
    assert_eq!(alice.list().len(), 2);
    assert_eq!(Asker::connect(&serving).list().len(), 2);
    neighbour.finish();
    serving.stop();
}

#[test]
fn half_open_connections_keep_nobody_from_being_served() {
    let authority = Authority::new();
    let mut serving = serving(&authority);
    let mut neighbour = Neighbour::new(&serving);
    let mut local = Asker::connect(&serving);
    let alice = tls(&authority.sign("alice"));
    let mut open = Vec::new();
    for at in 0..HALF_OPEN {
        let mut stream = plain(&serving);
        // Half of them begin to greet.
        if at % 2 == 0 {
            stream.write_all(&hello_tls12()[..20]).unwrap();
        }
        open.push(stream);
        if at % 20 == 0 {
            neighbour.step();
            assert_eq!(local.list().len(), 2);
            assert_eq!(asker(&serving, &alice).list().len(), 2);
        }
    }
    assert_eq!(Asker::connect(&serving).list().len(), 2);
    neighbour.finish();
    // Those that are too many go at once, and the others when their time is over.
    wait_until("all are told of", || serving.noted(REFUSED) == HALF_OPEN);
    assert!(serving.noted("64 others came later") >= HALF_OPEN - 64 - 1);
    assert!(serving.noted("it has shown none for 5 seconds") > 0);
    for stream in &mut open {
        hear_all(stream);
    }
    assert_eq!(asker(&serving, &alice).list().len(), 2);
    serving.stop();
}

#[test]
fn plaintext_is_spoken_only_where_it_is_asked_for_by_name() {
    let refused = |control: ControlConfig| {
        let _alone = alone();
        let folder = tempfile::tempdir().unwrap();
        let config = ServerConfig { control, ..config(&folder.path().join("run")) };
        let error = Server::new(&config).unwrap_err();
        assert!(matches!(error, ServerError::Config(ConfigError::Listen(_))), "{error}");
    };
    refused(remote(Protection::Local));
    let listen = Some("unix:/nowhere/ctl".parse().unwrap());
    refused(ControlConfig { listen, ..remote(Protection::InsecurePlaintext) });

    let mut serving = Serving::start_with(|_| remote(Protection::InsecurePlaintext));
    serving.wait_for_note(" is plaintext: whoever reaches it may ask");
    assert_eq!(asker(&serving, &Protection::Local).list().len(), 2);
    let mut plaintext = asker(&serving, &Protection::InsecurePlaintext);
    let none = Ask::Show { vgpu: "none".into() };
    plaintext.refused(&none);
    serving.wait_for_note(" (plaintext): {\"command\":\"show\",\"vgpu\":\"none\"} is refused: ");
    serving.stop();
}
