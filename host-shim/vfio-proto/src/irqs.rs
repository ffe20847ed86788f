//! DEVICE_SET_IRQS: interrupts are bound, masked and raised.

use crate::WireError;
use crate::dma::argsz;
use crate::layout::{RawSetIrqs, put, split};

const DATA_NONE: u32 = 1;
const DATA_BOOL: u32 = 2;
const DATA_EVENTFD: u32 = 4;
const DATA: u32 = DATA_NONE | DATA_BOOL | DATA_EVENTFD;
const ACTION_MASK: u32 = 8;
const ACTION_UNMASK: u32 = 16;
const ACTION_TRIGGER: u32 = 32;

/// What is done to the vectors that are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqAction {
    /// They are masked.
    Mask,
    /// They are unmasked.
    Unmask,
    /// They are bound, unbound or raised, as [`IrqData`] says.
    Trigger,
}

/// Which of the vectors are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqData<'a> {
    /// All of them. [`IrqAction::Trigger`] raises them; where there are none, it unbinds all of
    /// this kind of interrupt.
    None,
    /// Those whose byte is not 0.
    Bool(&'a [u8]),
    /// Each is bound to the descriptor that comes with the message for it, or, where none comes,
    /// unbound.
    Eventfd,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetIrqs<'a> {
    /// Which kind of interrupt.
    pub index: u32,
    /// The first vector.
    pub start: u32,
    /// How many.
    pub count: u32,
    /// What is done.
    pub action: IrqAction,
    /// To which of them.
    pub data: IrqData<'a>,
}

impl<'a> SetIrqs<'a> {
    pub(crate) fn parse(body: &'a [u8], fds: usize) -> Result<Self, WireError> {
        let (raw, data) = split::<RawSetIrqs>(body)?;
        argsz(raw.argsz.get(), size_of::<RawSetIrqs>())?;
        let (flags, start, count) = (raw.flags.get(), raw.start.get(), raw.count.get());
        let action = match flags & !DATA {
            ACTION_MASK => IrqAction::Mask,
            ACTION_UNMASK => IrqAction::Unmask,
            ACTION_TRIGGER => IrqAction::Trigger,
            _ => return Err(WireError::Flags(flags)),
        };
        if start.checked_add(count).is_none() {
            return Err(WireError::Ranges(count));
        }
        let is_bound = flags & DATA == DATA_EVENTFD;
        if fds != 0 && !(is_bound && fds == count as usize) {
            let allowed = if is_bound { "none, or one for each vector" } else { "none" };
            return Err(WireError::Fds { found: fds, allowed });
        }
        let wanted = if flags & DATA == DATA_BOOL { count as usize } else { 0 };
        let data = match flags & DATA {
            DATA_BOOL if data.len() == wanted => IrqData::Bool(data),
            DATA_NONE if data.is_empty() => IrqData::None,
            DATA_EVENTFD if data.is_empty() => IrqData::Eventfd,
            DATA_BOOL | DATA_NONE | DATA_EVENTFD => {
                return Err(WireError::Length { found: data.len(), wanted });
            }
            _ => return Err(WireError::Flags(flags)),
        };
        Ok(Self { index: raw.index.get(), start, count, action, data })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, data) = match self.data {
            IrqData::None => (DATA_NONE, [].as_slice()),
            IrqData::Bool(data) => (DATA_BOOL, data),
            IrqData::Eventfd => (DATA_EVENTFD, [].as_slice()),
        };
        let action = match self.action {
            IrqAction::Mask => ACTION_MASK,
            IrqAction::Unmask => ACTION_UNMASK,
            IrqAction::Trigger => ACTION_TRIGGER,
        };
        put(
            out,
            &RawSetIrqs {
                argsz: ((size_of::<RawSetIrqs>() + data.len()) as u32).into(),
                flags: (kind | action).into(),
                index: self.index.into(),
                start: self.start.into(),
                count: self.count.into(),
            },
        );
        out.extend_from_slice(data);
    }

    /// The vectors that are meant, where it does not depend on descriptors.
    pub fn vectors(&self) -> impl Iterator<Item = u32> {
        let (start, data) = (self.start, self.data);
        (0..self.count).filter_map(move |at| match data {
            IrqData::Bool(data) if data.get(at as usize) == Some(&0) => None,
            _ => Some(start + at),
        })
    }
}
