//! What is known of the registers at one place in a function.

use std::collections::HashMap;

use super::image::Image;
use super::insn::{Expr, Isa, Reg, Store};

/// What is known of a register's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// All of it.
    Known(u64),
    /// The stack pointer at the function's start, and so many bytes.
    Stack(i64),
    /// Some address in the function's frame, at that distance from where the stack pointer was or
    /// above.
    Frame(i64),
    /// Where the function returns to.
    Return,
    /// A constant, and something.
    Indexed(u64),
    /// An entry of the read-only table at that address.
    Entry { table: u64, width: u8 },
    /// That table's address and an entry of it.
    Relative { table: u64, width: u8 },
}

/// What is known of registers, and of words on the stack; those that are not there may hold
/// anything that is no address in the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    values: HashMap<Place, Value>,
    /// The lowest address in the frame that was stored or handed to a function, so that others may
    /// write there and above: the frame's variables are one above the other, and a pointer to one
    /// of them is no way to those below.
    escaped: Option<i64>,
}

/// What can hold a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Register(Reg),
    /// A word, by its distance from the stack pointer at the function's start.
    Stack(i64),
}

impl Value {
    /// The lowest place in the frame to which it can be a pointer; `None`: it is none.
    fn lowest(self) -> Option<i64> {
        match self {
            Self::Stack(at) | Self::Frame(at) => Some(at),
            _ => None,
        }
    }
}

impl State {
    /// At a function's start.
    pub(crate) fn start(isa: &Isa) -> Self {
        let sp = (Place::Register(isa.sp), Value::Stack(0));
        let link = (Place::Register(isa.link), Value::Return);
        let zero = (Place::Register(isa.zero), Value::Known(0));
        Self { values: HashMap::from([sp, link, zero]), escaped: None }
    }

    /// A register's value; `None`: anything that is no address in the frame.
    pub(crate) fn get(&self, reg: Reg) -> Option<Value> {
        self.values.get(&Place::Register(reg)).copied()
    }

    /// Sets a register.
    pub(crate) fn set(&mut self, reg: Reg, value: Option<Value>) {
        self.put(Place::Register(reg), value);
    }

    /// Stores a register. What is kept of it are addresses of constants, which the compiler
    /// puts aside and takes back, and the return address.
    pub(crate) fn store(&mut self, store: Store, isa: &Isa, image: &Image) {
        let value = self.get(store.reg);
        if store.width >= isa.word {
            self.escape(value.and_then(Value::lowest));
        }
        let Some(Value::Stack(base)) = self.get(store.base) else {
            // By way of a pointer: to any place in the frame to which there may be one.
            let own = self.get(store.base).and_then(Value::lowest);
            let own = own.map(|at| at.saturating_add(store.disp));
            if let Some(lowest) = self.escaped.into_iter().chain(own).min() {
                self.forget(lowest, isa, |_| false);
            }
            return;
        };
        let (at, word) = (base.wrapping_add(store.disp), i64::from(isa.word));
        let end = at.wrapping_add(store.width.into());
        self.values.retain(|place, _| match place {
            Place::Register(_) => true,
            Place::Stack(slot) => slot.wrapping_add(word) <= at || end <= *slot,
        });
        let value = value.filter(|value| match value {
            Value::Known(at) => image.is_data(*at),
            Value::Return => true,
            _ => false,
        });
        if store.width == isa.word {
            self.put(Place::Stack(at), value);
        }
    }

    fn escape(&mut self, lowest: Option<i64>) {
        self.escaped = self.escaped.into_iter().chain(lowest).min();
    }

    /// Forgets words on the stack from some place on, and others, but not where the return address
    /// was saved: whoever writes to that by way of a pointer writes out of bounds.
    fn forget(&mut self, from: i64, isa: &Isa, also: impl Fn(i64) -> bool) {
        let word = i64::from(isa.word);
        self.values.retain(|place, value| match place {
            Place::Stack(at) => {
                *value == Value::Return || (at.saturating_add(word) <= from && !also(*at))
            }
            Place::Register(_) => true,
        });
    }

    fn put(&mut self, place: Place, value: Option<Value>) {
        match value {
            Some(value) => self.values.insert(place, value),
            None => self.values.remove(&place),
        };
    }

    /// Forgets what a call may change: the stack below this function's, and what the function that
    /// is called can have a pointer to.
    pub(crate) fn called(&mut self, isa: &Isa) {
        let sp = self.get(isa.sp);
        let handed = self.values.iter().filter_map(|(place, value)| match place {
            Place::Register(reg) if !(isa.is_kept)(*reg) => value.lowest(),
            Place::Register(_) | Place::Stack(_) => None,
        });
        let handed = handed.min();
        self.escape(handed);
        self.values.retain(|place, _| match place {
            Place::Register(reg) => (isa.is_kept)(*reg),
            Place::Stack(_) => true,
        });
        let from = self.escaped.unwrap_or(0).min(0);
        self.forget(from, isa, |at| !matches!(sp, Some(Value::Stack(sp)) if sp <= at));
    }

    /// Keeps what holds in both, and what may be an address in the frame in one of them; whether
    /// that says less than before.
    pub(crate) fn join(&mut self, other: &Self) -> bool {
        let before = self.escaped;
        self.escape(other.escaped);
        let mut is_less = before != self.escaped;
        for (place, value) in &other.values {
            if let Some(at) = value.lowest()
                && !self.values.contains_key(place)
            {
                self.values.insert(*place, Value::Frame(at));
                is_less = true;
            }
        }
        self.values.retain(|place, value| {
            let theirs = other.values.get(place);
            if theirs == Some(value) {
                return true;
            }
            let theirs = theirs.and_then(|theirs| theirs.lowest());
            let Some(lowest) = value.lowest().into_iter().chain(theirs).min() else {
                is_less = true;
                return false;
            };
            // One that falls and falls, as a pointer in a loop does, is anywhere.
            let falls = matches!(*value, Value::Frame(at) if lowest < at);
            let joined = Value::Frame(if falls { i64::MIN } else { lowest });
            is_less |= *value != joined;
            *value = joined;
            true
        });
        is_less
    }

    /// The value of an expression.
    pub(crate) fn value(&self, expr: Expr, isa: &Isa, image: &Image) -> Option<Value> {
        let exact = self.exactly(expr, isa, image);
        let lowest = |reg: Reg| self.get(reg).and_then(Value::lowest);
        // An address, and something that is added, is one of the same variable or above.
        let frame = match expr {
            Expr::Sum(one, two) => lowest(one).into_iter().chain(lowest(two)).min(),
            Expr::Plus(one, plus) => lowest(one).map(|at| at.saturating_add(plus)),
            // A few low bits of an address are none.
            Expr::And(one, mask) if mask < 0 => lowest(one).map(|_| i64::MIN),
            Expr::High(one, _) => lowest(one).map(|_| i64::MIN),
            // From one address to another is a distance.
            Expr::Less(one, two) if lowest(two).is_none() => lowest(one).map(|_| i64::MIN),
            Expr::From(one, two) => lowest(one).or(lowest(two)).map(|_| i64::MIN),
            Expr::And(..) | Expr::Less(..) => None,
            Expr::Const(_) | Expr::Load { .. } | Expr::Saved | Expr::Any => None,
        };
        exact.or(frame.map(Value::Frame))
    }

    /// Its value, where that can be told.
    fn exactly(&self, expr: Expr, isa: &Isa, image: &Image) -> Option<Value> {
        use Value::{Entry, Frame, Indexed, Known, Relative, Return, Stack};
        let word = |value: u64| Known(if isa.word == 8 { value } else { value & 0xffff_ffff });
        Some(match expr {
            Expr::Const(value) => word(value),
            Expr::Plus(reg, plus) => match self.get(reg)? {
                Known(value) => word(value.wrapping_add_signed(plus)),
                Stack(at) => Stack(at.checked_add(plus)?),
                Indexed(base) => Indexed(base.wrapping_add_signed(plus)),
                other if plus == 0 => other,
                Entry { .. } | Relative { .. } | Frame(_) | Return => return None,
            },
            Expr::Sum(one, two) => match (self.get(one), self.get(two)) {
                (Some(Known(one)), Some(Known(two))) => word(one.wrapping_add(two)),
                (Some(Stack(at)), Some(Known(plus))) | (Some(Known(plus)), Some(Stack(at))) => {
                    Stack(at.checked_add(signed(plus, isa))?)
                }
                (Some(Known(base)), Some(Entry { table, width }))
                | (Some(Entry { table, width }), Some(Known(base)))
                    if base == table =>
                {
                    Relative { table, width }
                }
                (Some(Known(base)), None) | (None, Some(Known(base))) => Indexed(base),
                // What is added to a table's address is an index, whatever it was made of.
                (Some(Known(base)), Some(Frame(_))) | (Some(Frame(_)), Some(Known(base)))
                    if image.is_data(base) =>
                {
                    Indexed(base)
                }
                _ => return None,
            },
            Expr::Less(one, two) => match (self.get(one)?, self.get(two)?) {
                (Known(one), Known(two)) => word(one.wrapping_sub(two)),
                (Stack(one), Stack(two)) => word(one.wrapping_sub(two) as u64),
                (Stack(at), Known(minus)) => Stack(at.checked_sub(signed(minus, isa))?),
                _ => return None,
            },
            Expr::And(reg, mask) => match self.get(reg)? {
                Known(value) => word(value & mask as u64),
                // At worst an alignment takes all that it can.
                Stack(at) if mask < 0 => Stack(at.checked_add(mask)?.checked_add(1)?),
                _ => return None,
            },
            Expr::High(reg, high) => match self.get(reg)? {
                Known(value) => word((value & 0xffff) | u64::from(high) << 16),
                _ => return None,
            },
            Expr::Load { base, index, disp, width } => {
                return self.load(self.get(base)?, index, disp, width, (isa, image));
            }
            Expr::Saved => Return,
            Expr::From(..) | Expr::Any => return None,
        })
    }

    fn load(
        &self,
        base: Value,
        index: Option<Reg>,
        disp: i64,
        width: u8,
        (isa, image): (&Isa, &Image),
    ) -> Option<Value> {
        let (table, is_one) = match (base, index) {
            (Value::Stack(at), None) if width == isa.word => {
                return self.values.get(&Place::Stack(at.wrapping_add(disp))).copied();
            }
            (Value::Known(at), None) => (at.wrapping_add_signed(disp), true),
            (Value::Known(at) | Value::Indexed(at), _) => (at.wrapping_add_signed(disp), false),
            _ => return None,
        };
        let word = image.constant(table, width)?;
        Some(if is_one { Value::Known(word) } else { Value::Entry { table, width } })
    }
}

fn signed(value: u64, isa: &Isa) -> i64 {
    if isa.word == 8 { value as i64 } else { i64::from(value as u32 as i32) }
}
