//! The numbers that the C programs have of the register map are its own.

#![forbid(unsafe_code)]

use godwit_regs::bits::{MAGIC, MAP_VERSION};
use godwit_regs::fifo::{Address, Entry, USERD_GET, USERD_PUT};
use godwit_regs::guest::{
    CHANNEL_BASE, CHANNEL_STRIDE, ChannelRegister, DOORBELL, ID, ID_VALUE, VERSION, status,
};
use godwit_regs::map::identity;
use godwit_regs::window::WINDOW_BYTES;

const HEADER: &str = concat!(include_str!("../c/guest.h"), include_str!("../c/window.h"));

/// What is defined under a name.
fn defined(name: &str) -> u64 {
    let line = HEADER.lines().find_map(|line| {
        let (found, value) = line.strip_prefix("#define ")?.split_once(' ')?;
        (found == name).then_some(value)
    });
    let value = line.unwrap_or_else(|| panic!("{name} is not defined"));
    let hexadecimal = value.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
    hexadecimal.unwrap_or_else(|| value.parse()).unwrap()
}

#[test]
fn numbers_are_those_of_the_map() {
    for (name, value) in [
        ("GUEST_ID", ID),
        ("GUEST_ID_VALUE", ID_VALUE),
        ("GUEST_VERSION", VERSION),
        ("GUEST_CHANNEL_BASE", CHANNEL_BASE),
        ("GUEST_CHANNEL_STRIDE", CHANNEL_STRIDE),
        ("GUEST_RING_LO", ChannelRegister::RingLo as u32),
        ("GUEST_RING_HI", ChannelRegister::RingHi as u32),
        ("GUEST_RING_LOG2", ChannelRegister::RingLog2 as u32),
        ("GUEST_TSG", ChannelRegister::Tsg as u32),
        ("GUEST_ENGINE", ChannelRegister::Engine as u32),
        ("GUEST_CONTROL", ChannelRegister::Control as u32),
        ("GUEST_STATUS", ChannelRegister::Status as u32),
        ("GUEST_DOORBELL", DOORBELL),
        ("STATUS_FREE", status::FREE),
        ("STATUS_READY", status::READY),
        ("USERD_PUT", USERD_PUT as u32),
        ("USERD_GET", USERD_GET as u32),
    ] {
        assert_eq!(defined(name), u64::from(value), "{name}");
    }
}

#[test]
fn windows_are_those_of_the_map() {
    for (name, value) in [
        ("WINDOW_BYTES", WINDOW_BYTES as u64),
        ("WINDOW_MAGIC_AT", identity::magic().offset() as u64),
        ("WINDOW_MAGIC", MAGIC.into()),
        ("WINDOW_VERSION_AT", identity::version().offset() as u64),
        ("WINDOW_VERSION", MAP_VERSION.into()),
    ] {
        assert_eq!(defined(name), value, "{name}");
    }
}

#[test]
fn entries_are_those_of_the_map() {
    let (from, to) = (Address::fb(1), Address::bus(2));
    let copy = Entry::Copy { from, to, byte_count: 3 }.encode();
    assert_eq!(u64::from(copy[0]), defined("ENTRY_COPY"));
    assert_eq!(u64::from(copy[2]), defined("TARGET_FRAMEBUFFER"));
    assert_eq!(u64::from(copy[3]), defined("TARGET_BUS"));
}
