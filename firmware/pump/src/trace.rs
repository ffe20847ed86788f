//! The firmware's log: typed values, formatted by who reads it. Nothing is compiled in
//! without the `defmt` feature.

macro_rules! trace {
    ($level:ident, $what:literal, $value:expr) => {{
        #[cfg(feature = "defmt")]
        defmt::$level!($what, $value);
        #[cfg(not(feature = "defmt"))]
        let _ = &$value;
    }};
}

pub(crate) use trace;
