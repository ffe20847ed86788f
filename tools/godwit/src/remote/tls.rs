//! How a connection to another machine is protected, as a command line says it.

use clap::Args;
use godwit_shim::{Protection, TlsFiles, TlsKeys, TransportError};
use std::path::PathBuf;

/// TLS with a certificate at either end; beyond this machine, nothing else unless it is named.
#[derive(Clone, Debug, Args)]
pub(crate) struct TlsOptions {
    /// This side's certificate, PEM, for TLS over TCP.
    #[arg(long, value_name = "PATH", env = "GODWIT_TLS_CERT", global = true,
          requires_all = ["tls_key", "tls_ca"])]
    tls_cert: Option<PathBuf>,
    /// The certificate's key, PEM.
    #[arg(long, value_name = "PATH", env = "GODWIT_TLS_KEY", global = true,
          requires_all = ["tls_cert", "tls_ca"])]
    tls_key: Option<PathBuf>,
    /// The authorities one of which must have signed the peer's certificate, PEM.
    #[arg(long, value_name = "PATH", env = "GODWIT_TLS_CA", global = true,
          requires_all = ["tls_cert", "tls_key"])]
    tls_ca: Option<PathBuf>,
    /// Plaintext beyond this machine, where everybody on the way can read and change it.
    #[arg(long, global = true, conflicts_with = "tls_cert")]
    insecure_plaintext: bool,
}

impl TlsOptions {
    /// Reads the files that are named.
    ///
    /// # Errors
    ///
    /// When one cannot be read or holds something else, or they do not fit together.
    pub(crate) fn protection(&self) -> Result<Protection, TransportError> {
        let files = (self.tls_cert.clone(), self.tls_key.clone(), self.tls_ca.clone());
        Ok(match files {
            (Some(cert), Some(key), Some(ca)) => {
                Protection::Tls(TlsKeys::load(&TlsFiles { cert, key, ca })?)
            }
            _ if self.insecure_plaintext => Protection::InsecurePlaintext,
            _ => Protection::Local,
        })
    }
}
