//! The one loop that joins engine, hardware and wire.
