//! VERSION: which protocol, and what each side can.

use crate::layout::{RawVersion, put, split};
use crate::{Limits, WireError};
use serde::{Deserialize, Serialize};

/// Descriptors in one message, above which no peer may go: libvfio-user's own limit.
const FDS_MAX: u32 = 1024;
/// Data in one access, above which QEMU refuses a peer.
const DATA_MAX: u32 = 64 << 20;
/// Bytes of the text of capabilities, which is the first thing that a stranger sends.
const TEXT_MAX: usize = 4096;

/// What one side can. What it does not say is as the protocol has it by default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// File descriptors that it takes in one message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_msg_fds: Option<u32>,
    /// Bytes of data in one access that it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_data_xfer_size: Option<u32>,
    /// Sizes of pages of DMA, a bit each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pgsizes: Option<u64>,
    /// Windows of DMA at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_dma_maps: Option<u32>,
    /// Whether it takes REGION_WRITE_MULTI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_multiple: Option<bool>,
}

impl Capabilities {
    /// Nothing said.
    pub const NONE: Self = Self {
        max_msg_fds: None,
        max_data_xfer_size: None,
        pgsizes: None,
        max_dma_maps: None,
        write_multiple: None,
    };

    /// The limits of what this side takes.
    pub fn limits(&self) -> Limits {
        Limits {
            data_bytes: self.max_data_xfer_size.unwrap_or(Limits::DATA_BYTES),
            fds: self.max_msg_fds.unwrap_or(1),
        }
    }

    fn check(&self) -> Result<(), WireError> {
        let wrong = |what: String| Err(WireError::Capabilities(what));
        if let Some(fds) = self.max_msg_fds.filter(|fds| *fds > FDS_MAX) {
            return wrong(format!("max_msg_fds is {fds}, and at most {FDS_MAX}"));
        }
        let data = self.max_data_xfer_size;
        if let Some(bytes) = data.filter(|bytes| !(8..=DATA_MAX).contains(bytes)) {
            return wrong(format!("max_data_xfer_size is {bytes}: 8 to {DATA_MAX} are allowed"));
        }
        if let Some(sizes) = self.pgsizes.filter(|sizes| sizes % 4096 != 0) {
            return wrong(format!("pgsizes is {sizes:#x}, which has a page below 4096 bytes"));
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Text {
    #[serde(default = "nothing")]
    capabilities: Capabilities,
}

fn nothing() -> Capabilities {
    Capabilities::NONE
}

/// The first message of a client, and the answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Changes where an older peer would not understand: 0.
    pub major: u16,
    /// Changes where something is added: 0 (QEMU) or 1 (libvfio-user).
    pub minor: u16,
    /// What the sender can.
    pub capabilities: Capabilities,
}

impl Version {
    /// The newest that is known.
    pub const NEWEST: (u16, u16) = (0, 1);

    /// Reads a body.
    ///
    /// # Errors
    ///
    /// When it is another major version, or the text does not end with a zero, is longer than
    /// 4 KiB, or says what cannot be. What is not known of it is passed over.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let (raw, text) = split::<RawVersion>(body)?;
        let (major, minor) = (raw.major.get(), raw.minor.get());
        if major != Self::NEWEST.0 {
            return Err(WireError::Version(major, minor));
        }
        let capabilities = match text {
            [] => Capabilities::NONE,
            [text @ .., 0] if text.len() < TEXT_MAX => {
                let told = |error: serde_json::Error| WireError::Capabilities(error.to_string());
                let value: serde_json::Value = serde_json::from_slice(text).map_err(told)?;
                // Left to itself, serde would take a list for an object.
                let objects = [Some(&value), value.get("capabilities")];
                if objects.into_iter().flatten().any(|value| !value.is_object()) {
                    return Err(WireError::Capabilities("the text is no object".into()));
                }
                serde_json::from_value::<Text>(value).map_err(told)?.capabilities
            }
            [.., 0] => {
                let why = format!("{} bytes, where {TEXT_MAX} are allowed", text.len());
                return Err(WireError::Capabilities(why));
            }
            _ => return Err(WireError::Capabilities("the text does not end with a zero".into())),
        };
        capabilities.check()?;
        Ok(Self { major, minor, capabilities })
    }

    /// Appends the body. One that a server sends to QEMU must have no more bytes than that which
    /// QEMU has sent (214 with its header), the size of its buffer.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, &RawVersion { major: self.major.into(), minor: self.minor.into() });
        let text = Text { capabilities: self.capabilities.clone() };
        // Numbers and flags always become text.
        out.extend(serde_json::to_vec(&text).unwrap_or_default());
        out.push(0);
    }

    /// The answer of a server that can this much: the client's version, since QEMU takes no newer
    /// one.
    #[must_use]
    pub fn answer(&self, capabilities: Capabilities) -> Self {
        let (major, newest) = Self::NEWEST;
        Self { major, minor: self.minor.min(newest), capabilities }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What QEMU 11.1 sends.
    const QEMU: &str = "{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \
        \"max_dma_maps\": 65535, \"max_data_xfer_size\": 1048576, \"migration\": \
        {\"max_bitmap_size\": 268435456, \"pgsize\": 4096}, \"write_multiple\": true}}";

    fn body(minor: u16, text: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 0];
        body.extend(minor.to_le_bytes());
        body.extend(text);
        body
    }

    #[test]
    fn what_qemu_offers_is_understood_and_the_answer_fits_its_buffer() {
        let offered = body(0, [QEMU.as_bytes(), &[0]].concat().as_slice());
        let version = Version::parse(&offered).unwrap();
        assert_eq!((version.major, version.minor), (0, 0));
        assert_eq!(version.capabilities.max_msg_fds, Some(16));
        assert_eq!(version.capabilities.write_multiple, Some(true));
        let capabilities = Capabilities {
            max_msg_fds: Some(16),
            max_data_xfer_size: Some(1 << 20),
            pgsizes: Some(4096),
            max_dma_maps: Some(256),
            write_multiple: Some(true),
        };
        let mut answer = Vec::new();
        version.answer(capabilities.clone()).encode(&mut answer);
        assert!(answer.len() <= offered.len(), "{}", answer.len());
        let again = Version::parse(&answer).unwrap();
        assert_eq!(again, Version { major: 0, minor: 0, capabilities });
    }

    #[test]
    fn no_text_means_the_defaults() {
        let version = Version::parse(&body(1, b"")).unwrap();
        assert_eq!(version.capabilities, Capabilities::NONE);
        assert_eq!(version.capabilities.limits(), Limits { data_bytes: 1 << 20, fds: 1 });
        assert_eq!(Version::parse(&body(1, b"{}\0")).unwrap(), version);
        assert_eq!(Version::parse(&body(7, b"")).unwrap().answer(Capabilities::NONE).minor, 1);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let long = [vec![b' '; TEXT_MAX], b"{}\0".to_vec()].concat();
        for text in [
            b"{}".as_slice(),
            b"{\0",
            b"[]\0",
            b"{\"capabilities\": []}\0",
            b"{\"capabilities\": 1}\0",
            b"{\"capabilities\": {\"max_msg_fds\": \"8\"}}\0",
            b"{\"capabilities\": {\"max_msg_fds\": 1025}}\0",
            b"{\"capabilities\": {\"max_msg_fds\": -1}}\0",
            b"{\"capabilities\": {\"max_data_xfer_size\": 7}}\0",
            b"{\"capabilities\": {\"max_data_xfer_size\": 67108865}}\0",
            b"{\"capabilities\": {\"pgsizes\": 4097}}\0",
            &long,
        ] {
            let error = Version::parse(&body(0, text)).unwrap_err();
            assert!(matches!(error, WireError::Capabilities(_)), "{error}");
        }
        assert!(matches!(Version::parse(&[1, 0, 0, 0]), Err(WireError::Version(1, 0))));
        assert!(matches!(Version::parse(&[0, 0, 0]), Err(WireError::Length { .. })));
    }
}
