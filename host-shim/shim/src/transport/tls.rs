//! TLS 1.3, with a certificate at either end.

use super::TransportError;
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest file with certificates or a key.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// Where a host's certificate is, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Its certificate, and those between it and the authority.
    pub cert: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// The authorities one of which must have signed the peer's.
    pub ca: PathBuf,
}

/// What a host shows of itself, and whom it believes.
#[derive(Clone, Debug)]
pub struct TlsKeys {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl TlsKeys {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or holds something else, or they do not fit together.
    pub fn load(files: &TlsFiles) -> Result<Self, TransportError> {
        let chain = certificates(&files.cert)?;
        let pem = |why: String| TransportError::Pem { path: files.key.clone(), why };
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
            .map_err(|error| pem(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(&files.ca)? {
            roots.add(authority)?;
        }
        let (provider, roots) = (Arc::new(default_provider()), Arc::new(roots));
        // Who may connect is decided at each connection, and not once for those that follow.
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let verifier = verifier.map_err(|error| TransportError::Pem {
            path: files.ca.clone(),
            why: error.to_string(),
        })?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())?;
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        client.resumption = Resumption::disabled();
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }

    /// The end that connects to a host, whose certificate must have this name.
    pub(super) fn connect(&self, host: &str) -> Result<Connection, TransportError> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| TransportError::Name(host.to_owned()))?;
        Ok(ClientConnection::new(self.client.clone(), name)?.into())
    }

    /// The end that listens.
    pub(super) fn accept(&self) -> Result<Connection, TransportError> {
        Ok(ServerConnection::new(self.server.clone())?.into())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TransportError> {
    let pem = |why: String| TransportError::Pem { path: path.to_path_buf(), why };
    let about = std::fs::metadata(path).map_err(|error| pem(error.to_string()))?;
    if !about.is_file() || about.len() > PEM_BYTES_MAX {
        return Err(pem(format!("a plain file of at most {PEM_BYTES_MAX} bytes is allowed")));
    }
    std::fs::read(path).map_err(|error| pem(error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let pem = |why: String| TransportError::Pem { path: path.to_path_buf(), why };
    let bytes = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|error| pem(error.to_string()))?;
    if all.is_empty() { Err(pem("there is no certificate in it".into())) } else { Ok(all) }
}
