//! Servers on other machines: over TLS 1.3, with a certificate at either end.

use crate::serving::{Serving, text};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;

/// An authority, and what it has signed, as files in a folder.
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

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }

    fn sign(&self, name: &str) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{name}.pem")), cert.pem()).unwrap();
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// The options of somebody of this name.
    fn options(&self, name: &str) -> String {
        let path = |file: &str| self.path(file);
        let (cert, key) = (path(&format!("{name}.pem")), path(&format!("{name}.key")));
        format!("--tls-cert {cert} --tls-key {key} --tls-ca {}", path("ca.pem"))
    }

    /// A server with a certificate, and its address.
    fn serving(&self, name: &str) -> (Serving, String) {
        self.sign(name);
        let (cert, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        let ca = self.path("ca.pem");
        Serving::listening(&format!("tls_cert = {cert:?}\ntls_key = {key:?}\ntls_ca = {ca:?}\n"))
    }
}

/// What is printed to whom, and the exit status.
fn said(serving: &Serving, line: &str) -> (String, String, i32) {
    let output = serving.ctl(line);
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
}

#[test]
fn a_server_elsewhere_is_asked_and_takes_a_vgpu_over_tls() {
    let authority = Authority::new();
    let (left, left_at) = authority.serving("left");
    let (right, right_at) = authority.serving("right");
    authority.sign("alice");
    let tls = authority.options("alice");
    let far = format!("--connect {right_at} {tls}");
    let (table, errors, status) = said(&left, &format!("list {far}"));
    assert_eq!((errors.as_str(), status), ("", 0));
    assert_eq!(table, text(&right.ctl("list").stdout));
    assert_eq!(said(&left, &format!("destroy v0 {far}")).2, 0);
    // The servers speak with one another, and either checks the other.
    let (moved, errors, status) = said(&left, &format!("migrate v0 --to {right_at} --host b"));
    assert_eq!(status, 0, "{errors}");
    assert!(moved.contains("v0"), "{moved}");
    let (shown, _, status) = said(&left, &format!("show v0 --json {far}"));
    assert!(status == 0 && shown.contains("\"host\":\"b\""), "{shown}");
    // Who goes before the verb counts as well, and the other way is the same.
    let back = format!("--connect {right_at} {tls} migrate v0 --to {left_at}");
    assert_eq!(said(&left, &back).2, 0);
    assert!(left.ctl("show v0").status.success());
    assert!(!right.ctl("show v0").status.success());
}

#[test]
fn who_has_no_certificate_of_the_authority_is_not_let_in() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (serving, at) = authority.serving("server");
    other.sign("mallory");
    authority.sign("alice");
    let list = |options: &str| said(&serving, &format!("list --connect {at} {options}"));
    // A server whose authority is not the one that was named.
    let (out, errors, status) = list(&other.options("mallory"));
    assert_eq!((out.as_str(), status), ("", 2), "{errors}");
    assert!(errors.contains("cannot be reached: TLS: invalid peer certificate"), "{errors}");
    // One who believes the right authority, and has its own certificate of another.
    let (cert, key) = (other.path("mallory.pem"), other.path("mallory.key"));
    let ca = authority.path("ca.pem");
    let (out, errors, status) = list(&format!("--tls-cert {cert} --tls-key {key} --tls-ca {ca}"));
    assert_eq!((out.as_str(), status), ("", 1), "{errors}");
    assert!(errors.contains("the server is spoken with no more: TLS: "), "{errors}");
    assert!(errors.contains("help: the authority of the server's `tls_ca`"), "{errors}");
    // Plain text, to which a server that speaks TLS does not answer.
    let (out, errors, status) = list("");
    assert_eq!((out.as_str(), status), ("", 1), "{errors}");
    let told = "error: the server speaks TLS alone, and was asked without\n\
                help: name a certificate: `--tls-cert`, `--tls-key` and `--tls-ca`\n";
    assert_eq!(errors, told);
    // Mistakes on the command line.
    let (out, errors, status) = list(&format!("--tls-cert {cert}"));
    assert_eq!((out.as_str(), status), ("", 2), "{errors}");
    assert!(errors.contains("--tls-key <PATH>") && errors.contains("--tls-ca <PATH>"), "{errors}");
    let (out, errors, status) = list(&format!("--tls-cert {ca} --tls-key {ca} --tls-ca {ca}"));
    assert_eq!((out.as_str(), status), ("", 2), "{errors}");
    assert!(errors.contains("help: `--tls-cert`, `--tls-key` and `--tls-ca` name PEM"), "{errors}");
    let (_, errors, status) = list(&authority.options("alice"));
    assert_eq!((errors.as_str(), status), ("", 0));
}

#[test]
fn a_server_of_plaintext_is_named_to_who_speaks_tls() {
    let authority = Authority::new();
    authority.sign("alice");
    let (serving, at) = Serving::listening("insecure_plaintext = true\n");
    let list = |at: &str, more: &str| said(&serving, &format!("list --connect {at} {more}"));
    assert_eq!(list(&at, "").2, 0);
    // What it hears may have a line's end, or not: it answers, or waits for more.
    let alice = format!("{} --timeout 1", authority.options("alice"));
    let help = "help: is it the port of `listen` in `[control]`? Where that has \
                `insecure_plaintext`, leave out `--tls-cert`, `--tls-key` and `--tls-ca`, which \
                the environment may set\n";
    let (out, errors, status) = list(&at, &alice);
    assert_eq!((out.as_str(), status), ("", 2), "{errors}");
    let (error, told) = errors.split_once('\n').unwrap();
    let answers = format!("error: {at} answers with something else than TLS");
    let is_silent = format!("error: {at} has not begun to speak TLS for 1s");
    assert!(error == answers || error == is_silent, "{errors}");
    assert_eq!(told, help);
    for (says, error) in [(Some("{\"vgpus\":[]}\n"), answers), (None, is_silent)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = format!("tcp:{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(says.unwrap_or_default().as_bytes()).unwrap();
            // Until the client goes, in whichever way.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        let (out, errors, status) = list(&there, &alice);
        assert_eq!((out.as_str(), status), ("", 2), "{errors}");
        assert_eq!(errors, format!("{}\n{help}", error.replace(&at, &there)));
        thread.join().unwrap();
    }
}
