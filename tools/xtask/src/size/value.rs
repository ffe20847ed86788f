//! What is known of the registers at one place in a function.

use std::collections::HashMap;

use super::image::Image;
use super::insn::{Expr, Isa, Reg};

/// What is known of a register's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// All of it.
    Known(u64),
    /// The stack pointer at the function's start, and so many bytes.
    Stack(i64),
    /// A constant, and something.
    Indexed(u64),
    /// An entry of the read-only table at that address.
    Entry { table: u64, width: u8 },
    /// That table's address and an entry of it.
    Relative { table: u64, width: u8 },
}

/// What is known of registers, and of words on the stack; those that are not there may hold
/// anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State(HashMap<Place, Value>);

/// What can hold a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Register(Reg),
    /// A word, by its distance from the stack pointer at the function's start.
    Stack(i64),
}

impl State {
    /// At a function's start.
    pub(crate) fn start(isa: &Isa) -> Self {
        let sp = (Place::Register(isa.sp), Value::Stack(0));
        Self(HashMap::from([sp, (Place::Register(isa.zero), Value::Known(0))]))
    }

    /// A register's value; `None`: anything.
    pub(crate) fn get(&self, reg: Reg) -> Option<Value> {
        self.0.get(&Place::Register(reg)).copied()
    }

    /// Sets a register.
    pub(crate) fn set(&mut self, reg: Reg, value: Option<Value>) {
        self.put(Place::Register(reg), value);
    }

    /// Stores a register. What is kept of it are addresses of constants, which the compiler
    /// puts aside and takes back; variables on the stack could be written by way of pointers.
    pub(crate) fn store(&mut self, reg: Reg, base: Reg, disp: i64, image: &Image) {
        let Some(Value::Stack(at)) = self.get(base) else { return };
        let value = self.get(reg).filter(|value| match value {
            Value::Known(at) => image.is_data(*at),
            _ => false,
        });
        self.put(Place::Stack(at.wrapping_add(disp)), value);
    }

    fn put(&mut self, place: Place, value: Option<Value>) {
        match value {
            Some(value) => self.0.insert(place, value),
            None => self.0.remove(&place),
        };
    }

    /// Forgets what a call may change.
    pub(crate) fn called(&mut self, isa: &Isa) {
        self.0.retain(|place, _| match place {
            Place::Register(reg) => (isa.is_kept)(*reg),
            Place::Stack(_) => true,
        });
    }

    /// Keeps what holds in both; whether that is less than before.
    pub(crate) fn join(&mut self, other: &Self) -> bool {
        let before = self.0.len();
        self.0.retain(|place, value| other.0.get(place) == Some(value));
        self.0.len() != before
    }

    /// The value of an expression.
    pub(crate) fn value(&self, expr: Expr, isa: &Isa, image: &Image) -> Option<Value> {
        use Value::{Entry, Indexed, Known, Relative, Stack};
        let word = |value: u64| Known(if isa.word == 8 { value } else { value & 0xffff_ffff });
        Some(match expr {
            Expr::Const(value) => word(value),
            Expr::Plus(reg, plus) => match self.get(reg)? {
                Known(value) => word(value.wrapping_add_signed(plus)),
                Stack(at) => Stack(at.checked_add(plus)?),
                Indexed(base) => Indexed(base.wrapping_add_signed(plus)),
                other if plus == 0 => other,
                Entry { .. } | Relative { .. } => return None,
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
                _ => return None,
            },
            Expr::Less(one, two) => match (self.get(one)?, self.get(two)?) {
                (Known(one), Known(two)) => word(one.wrapping_sub(two)),
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
                return self.load(self.get(base)?, index, disp, width, image);
            }
            Expr::Any => return None,
        })
    }

    fn load(
        &self,
        base: Value,
        index: Option<Reg>,
        disp: i64,
        width: u8,
        image: &Image,
    ) -> Option<Value> {
        let (table, is_one) = match (base, index) {
            (Value::Stack(at), None) => {
                return self.0.get(&Place::Stack(at.wrapping_add(disp))).copied();
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
