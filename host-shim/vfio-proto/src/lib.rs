//! The vfio-user protocol, as bytes and back: a device outside its virtual machine monitor, and its
//! migration. There is no I/O here, no thread and no memory but what a message takes: whoever has a
//! socket reads [`HEADER_BYTES`], then as many as [`Header::body_bytes`] says, and hands both to
//! [`Request::parse`] (a server) or [`Reply::parse`] (a client).
//!
//! ```text
//!  client                                              server
//!  Request::encode ──▶ socket ──▶ Header::parse, Request::parse
//!  Reply::parse    ◀── socket ◀── Reply::encode, Header::failure
//!
//!  DmaAccess::parse ◀── socket ◀── DmaAccess::message      (guest memory without a descriptor)
//!  DmaReply::encode ──▶ socket ──▶ DmaReply::parse
//! ```
//!
//! ```
//! use godwit_vfio_proto::{HEADER_BYTES, Header, Limits, RegionAccess, Reply, Request};
//!
//! let limits = Limits::default();
//! // A client reads four bytes of the configuration space.
//! let access = RegionAccess { region: 7, offset: 0, count: 4 };
//! let asked = Request::RegionRead(access);
//! let message = asked.encode(1);
//!
//! // The server takes the message apart, and answers.
//! let (head, body) = message.split_first_chunk::<HEADER_BYTES>().unwrap();
//! let header = Header::parse(head, &limits).unwrap();
//! assert_eq!(body.len(), header.body_bytes());
//! assert_eq!(Request::parse(&header, body, 0, &limits).unwrap(), asked);
//! let answer = Reply::RegionRead(access, &[0x09, 0x12, 0x67, 0x6d]).encode(&header);
//!
//! // The client takes the answer apart.
//! let (head, body) = answer.split_first_chunk::<HEADER_BYTES>().unwrap();
//! let header = Header::parse(head, &limits).unwrap();
//! let reply = Reply::parse(&asked, &header, body, &limits).unwrap();
//! assert_eq!(reply, Reply::RegionRead(access, &[0x09, 0x12, 0x67, 0x6d]));
//! ```
//!
//! # What whoever has the socket must see to
//!
//! - It is a stream. File descriptors ride on the first byte of their message, so the header is
//!   received by itself, with `recvmsg`; what comes with it is that message's.
//! - Commands are done in the order in which they come. Both sides may ask: a message of
//!   [`MessageKind::Reply`] on the server's side answers a [`DmaAccess`].
//! - [`MessageKind::Command`] with `no_reply` is answered by nothing, not even that it failed.
//! - After an error of which [`WireError::is_fatal`] is true the connection is cut. Every other is
//!   answered with [`Header::failure`].
//! - The first command is VERSION. Before it the default [`Limits`] hold, after it those that both
//!   sides have agreed to.
//!
//! The protocol is that of QEMU's `docs/interop/vfio-user.rst` and of libvfio-user; migration is
//! version 2 of `include/uapi/linux/vfio.h`. Integers are little-endian.

#![forbid(unsafe_code)]

mod access;
mod dma;
mod error;
mod features;
mod header;
mod info;
mod irqs;
mod layout;
mod limits;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod version;

pub use access::{RegionAccess, Writes};
pub use dma::{DmaAccess, DmaFlags, DmaMap, DmaUnmap};
pub use error::WireError;
pub use features::{
    DMA_RANGES_MAX, DeviceState, DmaRange, FeatureAnswer, FeatureCall, LogReport, MigrationFlags,
    PrecopyInfo, feature,
};
pub use header::{Command, HEADER_BYTES, Header, MessageKind};
pub use info::{
    Area, DeviceFlags, DeviceInfo, IrqFlags, IrqInfo, RegionCapability, RegionFlags, RegionInfo,
    irq, region,
};
pub use irqs::{IrqAction, IrqData, SetIrqs};
pub use limits::Limits;
pub use reply::{DmaReply, Reply};
pub use request::Request;
pub use version::{Capabilities, Version};
