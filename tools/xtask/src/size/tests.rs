//! Small programs that break one rule each.
