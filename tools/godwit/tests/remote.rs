//! Goal: a kernel that runs in one process ends in another with the right bytes, whatever becomes
//! of the link and of the processes.
//! Method: the command twice, over real sockets, one of them a link that ends where it hurts most.

use godwit_shim::{Journal, LinkMessage, MoveStage, Token};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const SCENARIO: &str = r#"
seed = 5

[[host]]
name = "left"
framebuffer = "64 MiB"

[[host]]
name = "right"
framebuffer = "64 MiB"

[[vgpu]]
name = "one"
host = "left"
profile = { framebuffer = "16 MiB" }

[[vgpu]]
name = "other"
host = "right"
profile = { framebuffer = "16 MiB" }

[[job]]
name = "product"
vgpu = "one"
kernel = "matmul"
n = 48
tile = 8

[[job]]
name = "spin"
vgpu = "other"
kernel = "spinner"
threads = 2
"#;

/// A folder with the scenario.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("s.toml"), SCENARIO).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn godwit(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
        command.current_dir(self.0.path()).args(words.split_whitespace());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to its end.
    fn run(&self, words: &str) -> (bool, String) {
        told(self.godwit(words).output().unwrap())
    }

    /// A receiver that listens, and where.
    fn receive(&self, options: &str) -> (Receiver, String) {
        let words = format!("receive s.toml --host right {options}");
        let mut child = self.godwit(&words).spawn().unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening at ");
        let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
        (Receiver { child: Some(child), stderr }, address)
    }

    /// The same of a host that finds an open move in its journal, which it tells first.
    fn receive_again(&self, options: &str) -> (Receiver, String) {
        let words = format!("receive s.toml --host right {options}");
        let mut child = self.godwit(&words).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (mut told, mut line) = (String::new(), String::new());
        stderr.read_line(&mut told).unwrap();
        assert!(told.contains("is running: whether the vGPU has run here"), "{told}");
        stderr.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening at ").unwrap().to_owned();
        (Receiver { child: Some(child), stderr }, address)
    }

    fn send(&self, address: &str, options: &str) -> (bool, String) {
        self.run(&format!("send s.toml --vgpu one --after 100000 --to {address} {options}"))
    }
}

/// A process that ends with its test.
struct Receiver {
    child: Option<Child>,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Receiver {
    fn finish(mut self) -> (bool, String) {
        let (done, mut text) = told(self.child.take().unwrap().wait_with_output().unwrap());
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        text.insert_str(0, &stderr);
        (done, text)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

fn told(output: Output) -> (bool, String) {
    let text = [output.stderr, output.stdout].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Both ends of a move that came to pass.
fn moved((sent, text): (bool, String), receiver: Receiver) {
    assert!(sent && text.contains("runs at the destination"), "{text}");
    let (received, text) = receiver.finish();
    assert!(received && text.ends_with("verified\n"), "{text}");
    assert!(text.contains("it runs here") && text.contains("job product: "), "{text}");
}

#[test]
fn a_kernel_moves_to_another_process_over_a_unix_socket() {
    let folder = Folder::new();
    for options in ["", "--max-rounds 0"] {
        let (receiver, address) = folder.receive("--listen unix:link");
        let (sent, text) = folder.send(&address, options);
        assert!(text.starts_with("left, at most: 16.00 MiB\n"), "{text}");
        assert!(text.matches("left, at most: ").count() > 1, "{text}");
        moved((sent, text), receiver);
    }
}

#[test]
fn a_bound_that_cannot_be_kept_stops_the_move_unless_it_is_to_come_to_pass() {
    let folder = Folder::new();
    // A link on which nothing is said within a millisecond.
    let slow = SCENARIO.replace("seed = 5", "seed = 5\ncosts_scale = \"100/1\"");
    fs::write(folder.path("s.toml"), slow).unwrap();
    for how in ["", "--otherwise give-up"] {
        let (_receiver, address) = folder.receive("--listen unix:link");
        let (sent, text) = folder.send(&address, &format!("--max-downtime 1 {how}"));
        assert!(!sent && text.contains("could not be moved with 1 ms of downtime"), "{text}");
        assert!(text.contains("job product: "), "{text}");
    }
    let (receiver, address) = folder.receive("--listen unix:link");
    moved(folder.send(&address, "--max-downtime 1 --otherwise move"), receiver);
}

#[test]
fn a_kernel_moves_between_microcontrollers_of_two_processes() {
    let folder = Folder::new();
    let (receiver, address) = folder.receive("--listen unix:link --mcu qemu");
    moved(folder.send(&address, "--mcu qemu --log"), receiver);
}

/// An authority, and a certificate of it for each side.
fn certify(folder: &Folder) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.path("ca.pem"), issuer.pem()).unwrap();
    for name in ["left", "right"] {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &issuer).unwrap();
        fs::write(folder.path(&format!("{name}.pem")), cert.pem()).unwrap();
        fs::write(folder.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// The options that show a side's certificate.
fn shown(name: &str) -> String {
    format!("--tls-cert {name}.pem --tls-key {name}.key --tls-ca ca.pem")
}

#[test]
fn a_kernel_moves_to_another_process_over_tls() {
    let folder = Folder::new();
    certify(&folder);
    let (receiver, address) = folder.receive(&format!("--listen tcp:0.0.0.0:0 {}", shown("right")));
    let address = address.replace("0.0.0.0", "127.0.0.1");
    // Without a certificate there is nothing to be had, and the receiver waits for another.
    let (sent, text) = folder.send(&address, "--patience 1");
    assert!(!sent && text.contains("is off"), "{text}");
    moved(folder.send(&address, &shown("left")), receiver);
}

/// Connects again and again, and says nothing that a peer would, until it is stopped.
struct Strangers(Arc<AtomicBool>, JoinHandle<usize>);

impl Strangers {
    fn at(address: &str) -> Self {
        let address = address.strip_prefix("tcp:").unwrap().to_owned();
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let thread = std::thread::spawn(move || {
            let mut connected = VecDeque::new();
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                // Nobody listens any more once the move is over.
                if let Ok(mut stream) = TcpStream::connect(&address) {
                    let _ = stream.write_all(&[22; 3][..count % 4]);
                    connected.push_back(stream);
                    connected.truncate(20);
                    count += 1;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            count
        });
        Self(over, thread)
    }

    /// How often they came.
    fn stop(self) -> usize {
        self.0.store(true, Ordering::Relaxed);
        self.1.join().unwrap()
    }
}

#[test]
fn who_shows_no_certificate_takes_nobodys_place() {
    let folder = Folder::new();
    certify(&folder);
    let (receiver, address) =
        folder.receive(&format!("--listen tcp:127.0.0.1:0 {}", shown("right")));
    let strangers = Strangers::at(&address);
    std::thread::sleep(Duration::from_millis(100));
    let sent = folder.send(&address, &shown("left"));
    assert!(strangers.stop() > 10);
    moved(sent, receiver);
}

#[test]
fn plaintext_beyond_this_machine_and_half_of_tls_are_refused() {
    let folder = Folder::new();
    let (done, text) = folder.run("receive s.toml --host right --listen tcp:0.0.0.0:0");
    assert!(!done && text.contains("plaintext must be asked for by name"), "{text}");
    let (done, text) = folder.send("tcp:192.0.2.1:9", "");
    assert!(!done && text.contains("beyond this machine"), "{text}");
    let (done, text) = folder.send("tcp:127.0.0.1:9", "--tls-cert a.pem");
    assert!(!done && text.contains("--tls-key"), "{text}");
    for (words, what) in [
        (
            "receive s.toml --host middle --listen unix:link",
            "no host has the name `middle`; allowed: `left`, `right`",
        ),
        (
            "send s.toml --vgpu two --to unix:link",
            "no vGPU has the name `two`; allowed: `one`, `other`",
        ),
        ("send s.toml --vgpu other --to unix:link", "must have one job"),
        ("send s.toml --vgpu one --to link", "an address is"),
        ("send s.toml --vgpu one --to unix:link --otherwise move", "--max-downtime <MS>"),
        ("send s.toml --vgpu one --to unix:link --max-downtime 5 --otherwise x", "give-up, move"),
        (
            "send s.toml --vgpu one --to unix:link --max-downtime 5 --max-rounds 0",
            "allowed: --max-downtime with --max-rounds of 1 or more",
        ),
        ("resolve nowhere", "there is no journal; name the folder that --state had"),
    ] {
        let output = folder.godwit(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}");
        let (_, text) = told(output);
        assert!(text.contains(what), "{words}: {text}");
    }
}

/// Carries a link until its destination has said that it is ready, and then nothing more. If that
/// is told, the source commits, and nobody hears of it. Returns at which address.
fn cut_at_ready(folder: &Folder, to: &str, is_told: bool) -> String {
    let listener = UnixListener::bind(folder.path("proxy")).unwrap();
    let to = folder.path(to.strip_prefix("unix:").unwrap());
    std::thread::spawn(move || {
        let source = listener.accept().unwrap().0;
        // Whoever comes again finds nobody.
        drop(listener);
        let destination = UnixStream::connect(to).unwrap();
        let (mut from, mut into) = (source.try_clone().unwrap(), destination.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut into));
        let token = Token { uuid: [0; 16], number: 1 };
        let frame = |message: LinkMessage| message.encode().len() + 8;
        let bytes = 16 + frame(LinkMessage::Accept(token, 2)) + frame(LinkMessage::Ready(token));
        for at in 1..=bytes {
            let mut byte = [0];
            (&destination).read_exact(&mut byte).unwrap();
            if at == bytes {
                // It goes when nothing comes through any more the other way.
                destination.shutdown(std::net::Shutdown::Both).unwrap();
            }
            if at < bytes || is_told {
                (&source).write_all(&byte).unwrap();
            }
        }
        source.shutdown(std::net::Shutdown::Write).unwrap();
        // What the source still says is read, and lost.
        let _ = std::io::copy(&mut &source, &mut std::io::sink());
    });
    "unix:proxy".into()
}

/// A move that is committed at the source and ready at the destination, both of which are gone.
/// Returns its token.
fn orphaned(folder: &Folder, options: &str) -> String {
    let words = format!("--listen unix:link --state R --patience 2 {options}");
    let (receiver, address) = folder.receive(&words);
    let proxy = cut_at_ready(folder, &address, true);
    let (sent, text) = folder.send(&proxy, &format!("--state S --patience 1 {options}"));
    assert!(!sent && text.contains("is committed") && text.contains("godwit resolve"), "{text}");
    let (received, text) = receiver.finish();
    assert!(!received && text.contains("is ready") && text.contains("never run"), "{text}");
    let (listed, text) = folder.run("resolve S");
    assert!(listed && text.ends_with(" source: committed, kept here\n"), "{text}");
    text.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_destination_that_is_gone_for_good_leaves_it_to_the_operator() {
    let folder = Folder::new();
    let token = orphaned(&folder, "");
    // At the destination there is nothing to decide: what was restored has ended with it.
    let (done, text) = folder.run(&format!("resolve R --token {token} run-here"));
    assert!(!done && text.contains("nothing of the vGPU is left here"), "{text}");
    // Until somebody decides, it is not run.
    let (sent, text) = folder.send("unix:link", "--state S --patience 0");
    assert!(!sent, "{text}");
    let (done, text) = folder.run(&format!("resolve S --token {token} run-here"));
    assert!(done && text.contains("aborted, by decision"), "{text}");
    let (done, text) = folder.run(&format!("resolve S --token {token} gone"));
    assert!(!done && text.contains("this side's"), "{text}");
    let (sent, text) = folder.send("unix:link", "--state S --patience 0");
    assert!(sent && text.ends_with("verified\n"), "{text}");
    assert!(text.contains("was given back by move"), "{text}");
    assert_eq!(states(&folder.path("S")), 0, "what is kept is of its past");
}

#[test]
fn a_copy_that_waits_for_its_commit_is_given_up_before_another_comes() {
    let folder = Folder::new();
    let (receiver, address) = folder.receive("--listen unix:link");
    let proxy = cut_at_ready(&folder, &address, false);
    let (sent, text) = folder.send(&proxy, "--state S");
    assert!(!sent && text.contains("is off: the link was lost"), "{text}");
    // The copy is undone when the source says that it never committed, and until then in the way.
    let mut sends = (0..3).map(|_| folder.send(&address, "--state S"));
    let declined = |(sent, text): &(bool, String)| !sent && text.contains("is not over here yet");
    let last = sends.find(|result| !declined(result)).expect("it is given up");
    moved(last, receiver);
}

#[test]
fn a_vgpu_that_is_written_off_is_gone() {
    let folder = Folder::new();
    let token = orphaned(&folder, "");
    let (done, text) = folder.run(&format!("resolve S --token {token} gone"));
    assert!(done && text.contains("done, by decision"), "{text}");
    assert_eq!(states(&folder.path("S")), 0);
    let (sent, text) = folder.send("unix:link", "--state S --patience 0");
    assert!(!sent && text.contains("is at its destination"), "{text}");
}

#[test]
fn both_sides_start_anew_and_the_source_has_it_back() {
    let folder = Folder::new();
    orphaned(&folder, "");
    let (_receiver, address) = folder.receive("--listen unix:link --state R");
    let (sent, text) = folder.send(&address, "--state S --patience 5");
    assert!(sent && text.ends_with("verified\n"), "{text}");
    assert!(text.contains("was given back by move"), "{text}");
}

/// A move that is committed, and whose destination has ended when it was about to start the vGPU.
fn ended_at_the_start(folder: &Folder) -> String {
    let token = orphaned(folder, "");
    let mut journal = Journal::open(&folder.path("R").join("journal")).unwrap();
    journal.record(token.parse().unwrap(), MoveStage::Running).unwrap();
    token
}

#[test]
fn whether_a_vgpu_has_run_is_left_to_the_operator_where_nobody_can_know() {
    for (decision, told, ends) in [
        ("gone", "released, by decision", "was given back by move"),
        ("run-here", "started, by decision", "runs at the destination"),
    ] {
        let folder = Folder::new();
        let token = ended_at_the_start(&folder);
        let (receiver, address) = folder.receive_again("--listen unix:link --state R --patience 2");
        let (sent, text) = folder.send(&address, "--state S --patience 5");
        assert!(
            !sent && text.contains("is not known") && text.contains("godwit resolve"),
            "{text}"
        );
        assert_eq!(states(&folder.path("S")), 1);
        receiver.finish();
        let (listed, text) = folder.run("resolve R");
        assert!(
            listed && text.ends_with("running, and whether it has run is not known\n"),
            "{text}"
        );
        let (done, text) = folder.run(&format!("resolve R --token {token} {decision}"));
        assert!(done && text.contains(told), "{text}");
        let (done, text) = folder.run(&format!("resolve R --token {token} {decision}"));
        assert!(!done, "{text}");
        let (_receiver, address) = folder.receive("--listen unix:link --state R");
        let (sent, text) = folder.send(&address, "--state S --patience 5");
        assert!(sent && text.contains(ends), "{text}");
        assert_eq!(states(&folder.path("S")), 0);
    }
}

/// Makes key files.
fn keys(folder: &Folder, names: &[&str]) {
    for (byte, name) in (1..).zip(names) {
        let path = folder.path(name);
        fs::write(&path, format!("{byte:02x}").repeat(32)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_sealed_move_takes_the_same_key_at_both_ends() {
    let folder = Folder::new();
    keys(&folder, &["one.key", "two.key"]);
    for (options, why) in
        [("--key-file two.key", "with another key"), ("", "the state is not sealed")]
    {
        let (_receiver, address) = folder.receive("--listen unix:link --key-file one.key");
        let (sent, text) = folder.send(&address, options);
        assert!(!sent && text.contains(why) && text.contains("job product: "), "{text}");
    }
    let (_receiver, address) = folder.receive("--listen unix:other");
    let (sent, text) = folder.send(&address, "--key-file one.key");
    assert!(!sent && text.contains("no key was given"), "{text}");
    let (receiver, address) = folder.receive("--listen unix:link --key-file one.key");
    moved(folder.send(&address, "--key-file one.key"), receiver);
    let output =
        folder.godwit("send s.toml --vgpu one --to unix:link --key-file none.key").output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told(output).1.contains("none.key: "));
}

#[test]
fn what_is_kept_of_a_sealed_move_is_sealed() {
    let folder = Folder::new();
    keys(&folder, &["one.key", "two.key"]);
    let token = orphaned(&folder, "--key-file one.key");
    let (done, text) = folder.run(&format!("resolve S --token {token} run-here"));
    assert!(done, "{text}");
    let send =
        |options: &str| folder.send("unix:link", &format!("--state S --patience 0 {options}"));
    for (options, why) in [("", "no key was given"), ("--key-file two.key", "with another key")] {
        let (sent, text) = send(options);
        assert!(!sent && text.contains(why), "{text}");
        assert_eq!(states(&folder.path("S")), 1, "it is there for whoever has the key");
    }
    let (sent, text) = send("--key-file one.key");
    assert!(sent && text.ends_with("verified\n"), "{text}");
    assert_eq!(states(&folder.path("S")), 0);
}

/// How many state files there are in a folder.
fn states(folder: &Path) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().contains(".state")).count()
}
