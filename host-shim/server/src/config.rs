//! What a server serves.

use godwit_regs::bits::OnCrash;
use godwit_shim::Mcu;
use godwit_sim_gpu::GpuConfig;
use godwit_types::{Profile, Scheduling, Share};
use std::path::{Path, PathBuf};

/// Bytes of a name of a vGPU: what is left of the longest name of a socket (107 bytes) for the
/// folder is enough.
pub(crate) const NAME_BYTES_MAX: usize = 32;

/// See the module.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The folder of its sockets. It is made if it is not there, for its user alone, as one
    /// that is there must be.
    pub sockets: PathBuf,
    /// What the firmware of its cards runs on.
    pub mcu: Mcu,
    /// Its hosts.
    pub hosts: Vec<HostConfig>,
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
            let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(fine) {
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
