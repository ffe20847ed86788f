//! What a server serves.

use godwit_control::{NAME_BYTES_MAX, Sizes, is_name};
use godwit_regs::bits::OnCrash;
use godwit_shim::Mcu;
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

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlConfig {
    /// Who may be connected at a time; no more than half of the descriptors that the process may
    /// have.
    pub clients_max: usize,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self { clients_max: 1024 }
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
}

impl ServerConfig {
    /// Whether it can be served.
    ///
    /// # Errors
    ///
    /// When a name or an aperture is none.
    pub fn check(&self) -> Result<(), ConfigError> {
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
