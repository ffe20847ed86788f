//! Image files that are damaged, and image files that are sound and not allowed.

use crate::support::{PLACE, check, file, header, image};
use godwit_slots::{HEADER_BYTES, Header, PublicKey, Refusal, SecretKey, Terms, seal};

#[test]
fn an_image_is_what_it_was_made_as() {
    let header = check(&image(3, 4), 4).unwrap();
    assert_eq!((header.version.patch, header.security_version, header.length), (3, 4, 100));
}

#[test]
fn an_image_that_is_cut_off_anywhere_is_refused() {
    let file = image(1, 1);
    for length in 0..file.len() {
        assert_eq!(check(&file[..length], 0), Err(Refusal::Truncated), "{length} bytes");
    }
    let longer = [&file[..], &[0]].concat();
    assert_eq!(check(&longer, 0), Err(Refusal::TooLong));
}

#[test]
fn an_image_with_any_bit_flipped_is_refused_by_name() {
    let file = image(1, 1);
    for bit in 0..file.len() * 8 {
        let mut file = file.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        let refusal = check(&file, 0).unwrap_err();
        let allowed: &[Refusal] = match bit / 8 {
            0..8 => &[Refusal::Magic],
            8..12 => &[Refusal::Format],
            12..16 => &[Refusal::Header],
            // A name or a length may become one that could be.
            16..48 => &[Refusal::Header, Refusal::Signature],
            60..64 => &[Refusal::Length, Refusal::Signature],
            54..56 | 80..96 => &[Refusal::Header],
            at if at < HEADER_BYTES => &[Refusal::Signature],
            _ => &[Refusal::Hash],
        };
        assert!(allowed.contains(&refusal), "bit {bit} of byte {}: {refusal:?}", bit / 8);
    }
}

#[test]
fn nothing_and_anything_else_are_told_apart() {
    assert_eq!(check(&[0; 300], 0), Err(Refusal::Empty));
    assert_eq!(check(&[0xff; 300], 0), Err(Refusal::Empty));
    assert_eq!(check(&[b'x'; 300], 0), Err(Refusal::Magic));
}

#[test]
fn what_is_signed_must_also_be_allowed() {
    let refusal = |change: fn(&mut Header)| {
        let mut header = header(1, 1);
        change(&mut header);
        check(&file(header, &[1; 100]), 1).unwrap_err()
    };
    let other = |header: &mut Header| {
        header.board = godwit_slots::BoardName::new("qemu-virt-rv32").unwrap();
    };
    assert_eq!(refusal(other), Refusal::Board);
    assert_eq!(refusal(|header| header.load = PLACE.load_from - 4), Refusal::Load);
    assert_eq!(refusal(|header| header.load = PLACE.load_end - 96), Refusal::Load);
    assert_eq!(refusal(|header| header.load = u64::MAX - 8), Refusal::Load);
    assert_eq!(refusal(|header| header.entry = PLACE.load_from - 4), Refusal::Entry);
    assert_eq!(refusal(|header| header.entry = PLACE.load_from + 100), Refusal::Entry);
    assert_eq!(refusal(|header| header.security_version = 0), Refusal::RolledBack);
    assert_eq!(check(&file(header(1, 1), &[]), 0), Err(Refusal::Length));
    let large = vec![1; 0x10_0000 - HEADER_BYTES + 1];
    assert_eq!(check(&file(header(1, 1), &large), 0), Err(Refusal::Length));
}

#[test]
fn another_keys_image_is_refused() {
    let other = SecretKey::from_text(&"7".repeat(64)).unwrap();
    let mut file = seal(header(1, 1), &[1; 100], &other).to_vec();
    file.extend([1; 100]);
    assert_eq!(check(&file, 0), Err(Refusal::Signature));
    let terms = Terms { key: &other.public(), place: PLACE, guard: 0 };
    assert!(godwit_slots::check_file(&file, &terms).is_ok());
    assert!(!other.public().is_development());
    assert_eq!(PublicKey::new(&other.public().bytes()), Ok(other.public()));
}
