//! What a server serves.

use godwit_control::{NAME_BYTES_MAX, Sizes, is_name};
use godwit_regs::bits::OnCrash;
use godwit_shim::{LinkAddress, Mcu, Protection};
use godwit_sim_gpu::GpuConfig;
use godwit_types::{Profile, Scheduling, Share};
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
    /// The control socket of a server with its sockets in this folder.
    pub fn place(&self, sockets: &Path) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| control_socket(sockets))
    }

    fn check(&self, places: &Places) -> Result<(), ConfigError> {
        let is_inside = self.place(&places.sockets).parent() == Some(&places.sockets);
        if !self.users.is_empty() && is_inside {
            return Err(ConfigError::Users);
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
    /// A port for those on other machines that cannot be.
    #[error("remote control: {0}")]
    Listen(&'static str),
}

impl ServerConfig {
    /// Whether it can be served.
    ///
    /// # Errors
    ///
    /// When a name or an aperture is none, or who is to ask could not.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.control.check(&self.places)?;
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
