//! The seeds of a run.

/// Seeds of every run, unless others are given: `cargo xtask hostile` gives many.
const SEEDS: [u64; 3] = [1, 2, 0x5eed];

/// Tells which seed it was, where a test fails.
pub(crate) struct Told(pub(crate) u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it is seed {}: GODWIT_SEED={}", self.0, self.0);
        }
    }
}

pub(crate) fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("GODWIT_SEED") {
        Some(first) => (first..first + number("GODWIT_SEEDS").unwrap_or(1)).collect(),
        None => SEEDS.to_vec(),
    }
}
