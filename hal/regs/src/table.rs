//! The register reference as data, and the macros by which code and reference have one source.

/// The one side that writes a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The firmware on the microcontroller.
    Firmware,
    /// The GPU.
    Device,
    /// The host shim.
    Host,
}

/// Registers that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Its name.
    pub name: &'static str,
    /// Offset of the first one.
    pub offset: u32,
    /// What each one is for, where the block is repeated.
    pub index: Option<&'static str>,
    /// What it is.
    pub doc: &'static str,
    /// What is in it.
    pub registers: &'static [Register],
}

/// One row of the register reference.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    /// Block and name.
    pub name: &'static str,
    /// Offset of the first one.
    pub offset: u32,
    /// Bytes between two, where the block is repeated.
    pub stride: u32,
    /// How many there are.
    pub count: u32,
    /// Who writes it.
    pub writer: Writer,
    /// What it holds.
    pub doc: &'static str,
    /// What its bits are; none where it is one number.
    pub fields: &'static [Field],
}

/// Bits of a register that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its lowest bit.
    pub at: u8,
    /// How many bits it has.
    pub width: u8,
    /// What it holds.
    pub doc: &'static str,
    /// Its values, where they have names.
    pub values: &'static [Value],
}

/// A value of a field that has a name.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// The value.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
}

impl Field {
    /// The bits of a word that are this field's.
    pub const fn mask(&self) -> u32 {
        let low = match 1u32.checked_shl(self.width as u32) {
            Some(past) => past.wrapping_sub(1),
            None => u32::MAX,
        };
        low.wrapping_shl(self.at as u32)
    }

    /// How many values it can have; 0 stands for 2^32.
    pub const fn value_count(&self) -> u32 {
        self.mask().wrapping_shr(self.at as u32).wrapping_add(1)
    }

    /// A value in its place. Bits that do not fit are cut.
    pub const fn put(&self, value: u32) -> u32 {
        value.wrapping_shl(self.at as u32) & self.mask()
    }

    /// The value in a word.
    pub const fn take(&self, word: u32) -> u32 {
        (word & self.mask()).wrapping_shr(self.at as u32)
    }
}

/// A register whose bits are flags: the type, and its fields for the reference.
macro_rules! flags {
    ($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $flag_doc:literal])+ $flag:ident = $at:literal;)+
    }) => {
        bitflags::bitflags! {
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name: u32 {
                $($(#[doc = $flag_doc])+ const $flag = 1 << $at;)+
                /// Undefined on this revision; kept, so that a copy is bit-exact.
                const _ = !0;
            }
        }

        impl $name {
            /// The flags of this revision.
            pub const KNOWN: Self = Self::from_bits_retain(0 $(| 1 << $at)+);

            /// The flags, for the reference.
            pub const FIELDS: &'static [$crate::table::Field] = &[$($crate::table::Field {
                name: stringify!($flag),
                at: $at,
                width: 1,
                doc: concat!($($flag_doc),+),
                values: &[],
            }),+];
        }
    };
}

/// A register of several fields: a module with each, and all of them for the reference.
macro_rules! fields {
    ($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $field_doc:literal])+ $field:ident @ $at:literal, $width:literal
            $(: $values:expr)?;)+
    }) => {
        $(#[doc = $doc])+
        pub mod $name {
            use $crate::table::Field;

            $($(#[doc = $field_doc])+
            pub const $field: Field = Field {
                name: stringify!($field),
                at: $at,
                width: $width,
                doc: concat!($($field_doc),+),
                values: $crate::table::list!($($values)?),
            };)+

            /// All of them, for the reference.
            pub const FIELDS: &[Field] = &[$($field),+];
        }
    };
}

/// Numbers with names: a constant for each, and all of them for the reference.
macro_rules! numbers {
    ($(#[doc = $doc:literal])+ $all:ident { $($name:ident = $number:literal;)+ }) => {
        $(const $name: u32 = $number;)+

        $(#[doc = $doc])+
        pub const $all: &[$crate::table::Value] = &[$($crate::table::Value {
            number: $name,
            name: stringify!($name),
        }),+];
    };
}

/// The variants of an enum as values.
macro_rules! variants {
    ($enum:ident: $($variant:ident),+) => {
        &[$($crate::table::Value {
            number: $enum::$variant as u32,
            name: stringify!($variant),
        }),+]
    };
}

/// A list, or none.
macro_rules! list {
    () => {
        &[]
    };
    ($list:expr) => {
        $list
    };
}

pub(crate) use {fields, flags, list, numbers, variants};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_keeps_to_its_bits() {
        let field = Field { name: "", at: 24, width: 2, doc: "", values: &[] };
        assert_eq!(field.put(7), 0x0300_0000);
        assert_eq!(field.take(0xfdff_ffff), 1);
        let whole = Field { name: "", at: 0, width: 32, doc: "", values: &[] };
        assert_eq!(whole.take(whole.put(u32::MAX)), u32::MAX);
    }
}
