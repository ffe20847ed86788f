//! Small images, and flash in memory.

use godwit_regs::flash::{END, KEY_AT, PLACES, Place, STATE_A_AT};
use godwit_slots::{
    BoardName, DEVELOPMENT_KEY, Flash, HEADER_BYTES, Header, Medium, Root, SecretKey, Slot, State,
    Terms, Update, Version, seal,
};

/// The board that the images are for.
pub(crate) const PLACE: &Place = &PLACES[0];

/// The key that has signed them.
pub(crate) fn key() -> SecretKey {
    SecretKey::from_text(DEVELOPMENT_KEY).unwrap()
}

/// A header for [`PLACE`].
pub(crate) fn header(patch: u16, security_version: u32) -> Header {
    Header {
        board: BoardName::new(PLACE.board).unwrap(),
        version: Version::new([1, 0, patch]),
        security_version,
        load: PLACE.load_from,
        entry: PLACE.load_from,
        length: 0,
        sha256: [0; 32],
    }
}

/// An image file.
pub(crate) fn file(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut file = seal(header, payload, &key()).to_vec();
    assert_eq!(file.len(), HEADER_BYTES);
    file.extend_from_slice(payload);
    file
}

/// An image file whose payload says which it is.
pub(crate) fn image(patch: u16, security_version: u32) -> Vec<u8> {
    file(header(patch, security_version), &[patch as u8; 100])
}

/// What [`godwit_slots::check`] holds an image to.
pub(crate) fn check(file: &[u8], guard: u32) -> Result<Header, godwit_slots::Refusal> {
    let terms = Terms { key: &key().public(), place: PLACE, guard };
    godwit_slots::check_file(file, &terms).map(|image| image.header)
}

/// A flash in memory, whose power goes after so many bytes.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) bytes: Vec<u8>,
    /// Bytes that are still written before the power goes.
    pub(crate) power: usize,
}

/// The power is gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Memory {
    /// A flash with a key and nothing in its slots.
    pub(crate) fn new() -> Self {
        let mut memory = Self { bytes: vec![0; END], power: usize::MAX };
        let board = BoardName::new(PLACE.board).unwrap();
        memory.put(KEY_AT, &Root { board, key: key().public() }.record());
        memory.put(STATE_A_AT, &State::FIRST.record());
        memory
    }

    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn flash(&self) -> Flash<'_> {
        Flash::new(&self.bytes, PLACE)
    }

    /// Installs an image.
    pub(crate) fn install(&mut self, slot: Slot, file: &[u8]) {
        let (update, _) = Update::install(&self.flash(), slot, file).unwrap();
        update.perform(self).unwrap();
    }

    /// The slot that boots, and the number of its image.
    pub(crate) fn boots(&self) -> Option<(Slot, u16)> {
        let choice = self.flash().decide().choice.ok()?;
        let patch = choice.header.version.patch;
        // Whatever was chosen is whole.
        assert!(self.flash().payload(&choice).iter().all(|byte| *byte == patch as u8));
        Some((choice.slot, patch))
    }
}

impl Medium for Memory {
    type Error = Gone;

    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Gone> {
        let count = bytes.len().min(self.power);
        self.power -= count;
        self.put(at, &bytes[..count]);
        if count < bytes.len() { Err(Gone) } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), Gone> {
        Ok(())
    }
}
