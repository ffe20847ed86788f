//! The seeded simulator of hosts, links and guests.
