//! Mailbox client, state stream, moves and files.
