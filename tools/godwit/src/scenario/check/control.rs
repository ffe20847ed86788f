//! Who may ask a server, and where.

use super::service::SOCKET_PATH_MAX;
use super::{Checker, Span};
use crate::scenario::raw;
use crate::scenario::value::User;
use godwit_server::ControlConfig;
use godwit_shim::{LinkAddress, Protection, TlsFiles, TlsKeys, TransportError};
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Clients at a time that may be allowed.
const CLIENTS_MAX: u64 = 65_536;

/// What the table `[control]` says, if there is one; `sockets` is the folder of sockets.
pub(super) fn check(
    table: Option<&Spanned<raw::Table<raw::Control>>>,
    sockets: Option<&Path>,
    checker: &mut Checker<'_>,
) -> Option<ControlConfig> {
    let mut config = ControlConfig::default();
    let Some(spanned) = table else { return Some(config) };
    let (span, table) = (spanned.span(), spanned.get_ref());
    let users: Option<Vec<u32>> = match &table.users {
        Some(users) => {
            let users: Vec<_> = users.iter().map(|user| self::user(user, checker)).collect();
            users.into_iter().collect()
        }
        None => Some(Vec::new()),
    };
    let has_users = table.users.as_ref().is_some_and(|users| !users.is_empty());
    let socket = socket(table, has_users, (&span, sockets), checker);
    let protection = protection(table, checker);
    let listen = listen(table, protection.as_ref(), checker);
    if let Some(clients) = &table.clients {
        let count = checker.count(clients, "clients", 1..=CLIENTS_MAX)?;
        config.clients_max = usize::try_from(count).ok()?;
    }
    config.users = users?;
    config.socket = socket?;
    config.listen = listen?;
    config.protection = protection?;
    Some(config)
}

/// A user's number.
fn user(user: &Spanned<User>, checker: &mut Checker<'_>) -> Option<u32> {
    let number = match user.get_ref() {
        User::Number(number) => *number,
        User::Name(name) => match uzers::get_user_by_name(name) {
            Some(found) => found.uid(),
            None => {
                let wrong = format!("this machine has no user `{}`", name.escape_debug());
                return checker.wrong(user.span(), wrong, "a user's name, or a number");
            }
        },
    };
    if number == ControlConfig::NOBODY {
        let wrong = format!("user {number} may be anybody whom the server cannot see");
        return checker.wrong(user.span(), wrong, "a user of their own for those who may ask");
    }
    Some(number)
}

/// Where the socket is, if not in its folder, which other users cannot enter.
fn socket(
    table: &raw::Control,
    has_users: bool,
    (span, sockets): (&Span, Option<&Path>),
    checker: &mut Checker<'_>,
) -> Option<Option<PathBuf>> {
    let allowed =
        "`socket = \"PATH\"` in a folder that they can enter, and only its owner can change";
    let Some(socket) = &table.socket else {
        if has_users {
            let wrong = "`users` cannot enter the folder of sockets, and `socket` is missing";
            return checker.wrong(span.clone(), wrong, allowed);
        }
        return Some(None);
    };
    let path = checker.path(socket.get_ref());
    if path.as_os_str().len() > SOCKET_PATH_MAX || path.file_name().is_none() {
        let allowed = format!("the path of a socket, of {SOCKET_PATH_MAX} bytes");
        return checker.wrong(socket.span(), "the path cannot be a socket's", allowed);
    }
    if has_users && path.parent() == sockets {
        let wrong = "`users` cannot enter the folder of sockets";
        return checker.wrong(socket.span(), wrong, allowed);
    }
    Some(Some(path))
}

/// Where those on other machines ask.
fn listen(
    table: &raw::Control,
    protection: Option<&Protection>,
    checker: &mut Checker<'_>,
) -> Option<Option<LinkAddress>> {
    let Some(listen) = &table.listen else { return Some(None) };
    let Ok(address @ LinkAddress::Tcp { .. }) = listen.get_ref().parse() else {
        let wrong = "`listen` is no port of TCP";
        return checker.wrong(listen.span(), wrong, "tcp:HOST:PORT, an IPv6 address in brackets");
    };
    if let Some(Protection::Local) = protection {
        let allowed = "`tls_cert`, `tls_key` and `tls_ca`; or `insecure_plaintext = true`, with \
                       which everybody may ask who can reach the port";
        return checker.wrong(listen.span(), "`listen` needs TLS", allowed);
    }
    Some(Some(address))
}

/// How those on other machines ask, and how other servers are connected to.
fn protection(table: &raw::Control, checker: &mut Checker<'_>) -> Option<Protection> {
    let files =
        [("tls_cert", &table.tls_cert), ("tls_key", &table.tls_key), ("tls_ca", &table.tls_ca)];
    let plaintext = table.insecure_plaintext.as_ref().filter(|it| *it.get_ref());
    match files.map(|(_, file)| file.as_ref()) {
        [None, None, None] if plaintext.is_some() => Some(Protection::InsecurePlaintext),
        [None, None, None] => Some(Protection::Local),
        [Some(cert), Some(key), Some(ca)] => {
            if let Some(plaintext) = plaintext {
                let wrong = "`insecure_plaintext` is true, and there are certificates";
                return checker.wrong(plaintext.span(), wrong, "one of the two");
            }
            keys([cert, key, ca], checker).map(Protection::Tls)
        }
        given => {
            let missing = files.iter().find(|(_, file)| file.is_none());
            let missing = missing.map_or("", |(key, _)| key);
            let span = given.into_iter().flatten().next()?.span();
            let allowed = "`tls_cert`, `tls_key` and `tls_ca`, or none of them";
            checker.wrong(span, format!("TLS needs `{missing}`, which is missing"), allowed)
        }
    }
}

/// The certificate, its key and the authority; a mistake is at the file that it is in.
fn keys(files: [&Spanned<String>; 3], checker: &mut Checker<'_>) -> Option<TlsKeys> {
    let [cert, key, ca] = files.map(|file| checker.path(file.get_ref()));
    let paths = [cert.clone(), key.clone(), ca.clone()];
    let error = match TlsKeys::load(&TlsFiles { cert, key, ca }) {
        Ok(keys) => return Some(keys),
        Err(error) => error,
    };
    let at = match &error {
        TransportError::Pem { path, .. } => paths.iter().position(|it| it == path),
        _ => None,
    };
    let span = files[at.unwrap_or(0)].span();
    let allowed = "a certificate, its key and the authority of the clients' certificates, in PEM";
    checker.wrong(span, error.to_string(), allowed)
}

#[cfg(test)]
mod tests {
    use crate::scenario::Service;
    use godwit_shim::{LinkAddress, Protection};
    use rcgen::{CertificateParams, KeyPair};
    use std::fs;
    use std::path::Path;

    /// A host with a vGPU, without which nothing is served.
    const SERVED: &str = "[[host]]\nname = \"a\"\nframebuffer = \"256 MiB\"\n\
                          [[vgpu]]\nname = \"a0\"\nhost = \"a\"\n\
                          profile = { framebuffer = \"64 MiB\" }\n";

    /// What is served, or what the mistake is.
    fn service(folder: &Path, control: &str) -> Result<Service, String> {
        let file = folder.join("serve.toml");
        let text = format!("sockets = \"run\"\n[control]\n{control}\n{SERVED}");
        fs::write(&file, text).unwrap();
        Service::load(&file).map_err(|error| error.to_string())
    }

    fn certificate(folder: &Path) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
        fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    }

    #[test]
    fn who_may_ask_is_read() {
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path());
        let control = service(folder.path(), "").unwrap().control;
        assert!(control.users.is_empty() && control.socket.is_none() && control.listen.is_none());
        assert!(matches!(control.protection, Protection::Local));
        let text = "users = [\"root\", 1001]\nsocket = \"open/ctl\"\nclients = 7\n\
                    listen = \"tcp:[::]:7700\"\n\
                    tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\ntls_ca = \"cert.pem\"\n";
        let control = service(folder.path(), text).unwrap().control;
        assert_eq!((control.users.as_slice(), control.clients_max), ([0, 1001].as_slice(), 7));
        assert_eq!(control.socket, Some(folder.path().join("open/ctl")));
        assert_eq!(control.listen, Some(LinkAddress::Tcp { host: "::".into(), port: 7700 }));
        assert!(matches!(control.protection, Protection::Tls(_)));
        let text = "listen = \"tcp:localhost:1\"\ninsecure_plaintext = true";
        let control = service(folder.path(), text).unwrap().control;
        assert!(control.listen.is_some());
        assert!(matches!(control.protection, Protection::InsecurePlaintext));
    }

    #[test]
    fn every_mistake_is_named_with_its_line_and_what_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path());
        let tls = "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\ntls_ca = \"cert.pem\"";
        let listen = "listen = \"tcp:localhost:1\"";
        let long = format!("socket = \"{}\"", "x".repeat(200));
        let both = format!("{listen}\n{tls}\ninsecure_plaintext = true");
        let parts = format!("{listen}\ntls_cert = \"cert.pem\"\ntls_ca = \"cert.pem\"");
        let none =
            format!("{listen}\ntls_cert = \"cert.pem\"\ntls_key = \"no\"\ntls_ca = \"cert.pem\"");
        let mistakes: [(&str, &str); 16] = [
            ("users = [\"nobody-at-all\"]\nsocket = \"o/ctl\"", "3:10: this machine has no user"),
            ("users = [-1]", "3:10: invalid value: integer `-1`; allowed: a user's name, or a"),
            ("users = [4294967296]", "3:10: invalid type: integer `4294967296`; allowed: a user"),
            (
                "users = [65534]\nsocket = \"o/ctl\"",
                "3:10: user 65534 may be anybody whom the server cannot see; allow",
            ),
            ("users = 7", "3:9: invalid type: integer `7`; allowed: a list"),
            (
                "users = [7]",
                "2:1: `users` cannot enter the folder of sockets, and `socket` is miss",
            ),
            (
                "users = [7]\nsocket = \"run/x\"",
                "4:10: `users` cannot enter the folder of sockets;",
            ),
            (&long, "3:10: the path cannot be a socket's; allowed: the path of a socket, of 107"),
            ("clients = 0", "3:11: `clients` is 0; allowed: 1 to 65536"),
            ("user = []", "3:1: unknown key `user`; allowed: `users`, `socket`"),
            ("listen = \"unix:x\"", "3:10: `listen` is no port of TCP; allowed: tcp:HOST:PORT"),
            ("listen = \"localhost\"", "3:10: `listen` is no port of TCP; allowed: tcp:HOST:PORT"),
            (listen, "3:10: `listen` needs TLS; allowed: `tls_cert`, `tls_key` and `tls_ca`; or"),
            (
                &parts,
                "4:12: TLS needs `tls_key`, which is missing; allowed: `tls_cert`, `tls_key` and",
            ),
            (&both, "7:22: `insecure_plaintext` is true, and there are certificates; allowed: one"),
            (&none, "5:11: "),
        ];
        for (text, expected) in mistakes {
            let error = service(folder.path(), text).unwrap_err();
            let at = format!("{}:{expected}", folder.path().join("serve.toml").display());
            assert!(error.starts_with(&at), "{text}\n{error}");
            assert!(error.contains("; allowed: "), "{error}");
        }
        let key = "tls_cert = \"key.pem\"\ntls_key = \"key.pem\"\ntls_ca = \"cert.pem\"";
        let error = service(folder.path(), &format!("{listen}\n{key}")).unwrap_err();
        assert!(error.contains(":4:12: ") && error.contains("no certificate in it"), "{error}");
    }
}
