//! What a server serves.

use godwit_control::{NAME_BYTES_MAX, Sizes, is_name};
use godwit_regs::bits::OnCrash;
use godwit_shim::{LinkAddress, Mcu, Protection};
use godwit_sim_gpu::GpuConfig;
use godwit_types::{Profile, Scheduling, Share};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where its sockets and its files are.
    pub places: Places,
    /// Who may ask what there is, and have it changed.
    pub control: ControlConfig,
    /// What the firmware of its cards runs on.
    pub mcu: Mcu,
    /// Its hosts.
    pub hosts: Vec<HostConfig>,
    /// Where its metrics are had; `None`: nowhere.
    pub metrics: Option<MetricsConfig>,
}

/// Where metrics are had, over HTTP and by whoever can connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// The address. With port 0 it is a free one: see [`crate::Server::metrics_address`].
    pub listen: SocketAddr,
    /// Whether it may be one that is reached from beyond this machine. Nothing is asked of who
    /// connects, and nothing is sealed.
    pub insecure_beyond_this_machine: bool,
}

impl MetricsConfig {
    /// The port that dcgm-exporter has, for this machine alone.
    pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9400);

    /// Whether the address is for this machine alone.
    pub fn is_here(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { listen: Self::LISTEN, insecure_beyond_this_machine: false }
    }
}

/// Who may ask, and where.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Who may be connected at a time; no more than half of the descriptors that the process may
    /// have.
    pub clients_max: usize,
    /// The control socket; `None`: `ctl` in the folder of sockets.
    pub socket: Option<PathBuf>,
    /// Users, by their numbers, who may ask at it, beside the server's and root. Where there are
    /// some, `socket` is in a folder that they can enter, and that nobody but its owner can change.
    pub users: Vec<u32>,
    /// A port of TCP, where those ask who are on other machines.
    pub listen: Option<LinkAddress>,
    /// How those ask, and how other servers are connected to: over TLS, everybody may ask who has a
    /// certificate of the authority. To listen in plaintext, it must be
    /// [`Protection::InsecurePlaintext`] even on one machine, where every user may ask then.
    pub protection: Protection,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            clients_max: 1024,
            socket: None,
            users: Vec::new(),
            listen: None,
            protection: Protection::Local,
        }
    }
}

impl ControlConfig {
    /// How the kernel calls everybody whom a process in a user namespace cannot see. It may ask
    /// nothing.
    pub const NOBODY: u32 = 65_534;

    /// The control socket of a server with its sockets in this folder.
    pub fn place(&self, sockets: &Path) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| control_socket(sockets))
    }

    fn check(&self, places: &Places) -> Result<(), ConfigError> {
        let is_inside = self.place(&places.sockets).parent() == Some(&places.sockets);
        if !self.users.is_empty() && is_inside {
            return Err(ConfigError::Users);
        }
        if self.users.contains(&Self::NOBODY) {
            return Err(ConfigError::Nobody);
        }
        match (&self.listen, &self.protection) {
            (Some(LinkAddress::Unix(_)), _) => Err(ConfigError::Listen("tcp:HOST:PORT is allowed")),
            (Some(_), Protection::Local) => Err(ConfigError::Listen(
                "TLS needs a certificate, its key and the authority that has signed the clients'; \
                 plaintext must be asked for by name",
            )),
            _ => Ok(()),
        }
    }
}

/// Folders of a server. Each is made if it is not there, for its user alone, as one that is there
/// must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Of its sockets.
    pub sockets: PathBuf,
    /// Of suspended vGPUs; `None`: none is suspended.
    pub states: Option<PathBuf>,
}

impl Places {
    pub(crate) fn device(&self, vgpu: &str) -> PathBuf {
        device_socket(&self.sockets, vgpu)
    }

    pub(crate) fn migration(&self, vgpu: &str) -> PathBuf {
        migration_socket(&self.sockets, vgpu)
    }
}

/// A host: a card, and its vGPUs.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Its name.
    pub name: String,
    /// The card.
    pub gpu: GpuConfig,
    /// How its vGPUs take turns.
    pub scheduling: Scheduling,
    /// Of which sizes its vGPUs may be.
    pub sizes: Sizes,
    /// What its engines do while there is no firmware, after one that ended by itself.
    pub on_crash: OnCrash,
    /// Its vGPUs, in the order in which they are placed.
    pub vgpus: Vec<VgpuConfig>,
}

/// A vGPU.
#[derive(Clone, Debug)]
pub struct VgpuConfig {
    /// Its name, which its sockets have: unlike that of every other of the server, 1 to 32 letters,
    /// digits, `-` and `_`.
    pub name: String,
    /// What it is. The aperture is a power of two, since a BAR is.
    pub profile: Profile,
    /// What it is due of the engines.
    pub share: Share,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A name that no socket can have.
    #[error("`{0}` is no name of a vGPU: 1 to {NAME_BYTES_MAX} letters, digits, `-` and `_`")]
    Name(String),
    /// Two vGPUs of one name.
    #[error("there are two vGPUs of the name `{0}`")]
    Twice(String),
    /// An aperture that no BAR can have.
    #[error("the aperture of `{name}` has {bytes} bytes: a BAR has a power of two, at least 4096")]
    Aperture {
        /// The vGPU.
        name: String,
        /// Its aperture.
        bytes: u64,
    },
    /// Users who could not reach the socket that they may ask at.
    #[error(
        "other users cannot enter the folder of sockets, so the control socket of those who may \
         ask must be in another"
    )]
    Users,
    /// The number that stands for everybody who cannot be seen.
    #[error("user {} may be anybody whom the server cannot see", ControlConfig::NOBODY)]
    Nobody,
    /// A port for those on other machines that cannot be.
    #[error("remote control: {0}")]
    Listen(&'static str),
    /// Metrics for others than this machine, and nobody has said that they may be.
    #[error("metrics at {0} can be had from beyond this machine, and that is not allowed")]
    Beyond(SocketAddr),
}

impl ServerConfig {
    /// Whether it can be served.
    ///
    /// # Errors
    ///
    /// When a name or an aperture is none, who is to ask could not, or metrics can be had where
    /// they may not.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.control.check(&self.places)?;
        if let Some(metrics) = &self.metrics
            && !metrics.is_here()
            && !metrics.insecure_beyond_this_machine
        {
            return Err(ConfigError::Beyond(metrics.listen));
        }
        let mut names = std::collections::BTreeSet::new();
        for vgpu in self.hosts.iter().flat_map(|host| &host.vgpus) {
            let VgpuConfig { name, profile, .. } = vgpu;
            if !is_name(name) {
                return Err(ConfigError::Name(name.clone()));
            }
            if !names.insert(name) {
                return Err(ConfigError::Twice(name.clone()));
            }
            let bytes = profile.bar_bytes;
            if !bytes.is_power_of_two() || bytes < 4096 {
                return Err(ConfigError::Aperture { name: name.clone(), bytes });
            }
        }
        Ok(())
    }
}

/// The socket that a vGPU's virtual machine holds.
pub fn device_socket(sockets: &Path, vgpu: &str) -> PathBuf {
    sockets.join(format!("{vgpu}.sock"))
}

/// The socket for those who migrate a vGPU.
pub fn migration_socket(sockets: &Path, vgpu: &str) -> PathBuf {
    sockets.join(format!("{vgpu}.mig"))
}

/// The socket for those who ask what there is.
pub fn control_socket(sockets: &Path) -> PathBuf {
    sockets.join("ctl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_for_this_machine_unless_somebody_says_otherwise() {
        let check = |listen: &str, insecure_beyond_this_machine| {
            let listen = listen.parse().unwrap();
            let metrics = Some(MetricsConfig { listen, insecure_beyond_this_machine });
            let places = Places { sockets: PathBuf::new(), states: None };
            let (control, hosts) = (ControlConfig::default(), Vec::new());
            ServerConfig { places, control, mcu: Mcu::Native, hosts, metrics }.check()
        };
        for here in ["127.0.0.1:9400", "127.8.0.1:1", "[::1]:9400", "[::ffff:127.0.0.1]:80"] {
            assert!(check(here, false).is_ok(), "{here}");
        }
        for beyond in ["0.0.0.0:9400", "[::]:9400", "10.0.0.1:9400", "[::ffff:10.0.0.1]:80"] {
            let error = check(beyond, false).unwrap_err();
            assert!(matches!(error, ConfigError::Beyond(at) if at == beyond.parse().unwrap()));
            assert!(check(beyond, true).is_ok(), "{beyond}");
        }
        assert!(MetricsConfig::default().is_here());
    }
}
