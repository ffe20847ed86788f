//! Images that are right and images that are not, and updates that are interrupted.

mod images;
mod support;
mod updates;
