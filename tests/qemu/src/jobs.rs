//! Work on several threads.

/// Does the same on so many threads at once, and waits for all.
pub fn at_once(jobs: u32, work: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(&work);
        }
    });
}
