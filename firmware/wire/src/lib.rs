//! Mailbox messages and state records.
