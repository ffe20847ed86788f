//! Sizes, times and counts as people read them.

use std::time::Duration;

const SIZES: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("bytes", 1)];

const TIMES: [(&str, u64); 4] = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

/// A size in the largest unit that leaves no fraction.
pub(crate) fn exact_size(bytes: u64) -> String {
    exact(bytes, &SIZES)
}

/// A time in the largest unit that leaves no fraction.
pub(crate) fn exact_time(ns: u64) -> String {
    exact(ns, &TIMES)
}

fn exact(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |unit: &&(&str, u64)| value >= unit.1 && value.is_multiple_of(unit.1);
    let smallest = units.last().copied().unwrap_or(("", 1));
    let (name, scale) = units.iter().find(fits).copied().unwrap_or(smallest);
    match value / scale {
        1 if name == "bytes" => "1 byte".to_owned(),
        count => format!("{count} {name}"),
    }
}

/// A size with two decimals in the largest unit that it reaches.
pub(crate) fn about_size(bytes: u64) -> String {
    let (name, scale) = *SIZES.iter().find(|unit| bytes >= unit.1).unwrap_or(&SIZES[4]);
    match scale {
        1 => format!("{bytes} {name}"),
        _ => format!("{:.2} {name}", bytes as f64 / scale as f64),
    }
}

/// A time with two decimals in the largest unit that it reaches.
pub(crate) fn about_time(ns: u64) -> String {
    format!("{:.2?}", Duration::from_nanos(ns))
}

/// A count with two decimals and the letter of its thousands.
pub(crate) fn about_count(count: u64) -> String {
    let units = [("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];
    match units.iter().find(|unit| count >= unit.1) {
        Some((name, scale)) => format!("{:.2} {name}", count as f64 / *scale as f64),
        None => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_values_read_back() {
        assert_eq!(exact_size(0), "0 bytes");
        assert_eq!(exact_size(1), "1 byte");
        assert_eq!(exact_size(4096), "4 KiB");
        assert_eq!(exact_size(4097), "4097 bytes");
        assert_eq!(exact_size(1 << 40), "1 TiB");
        assert_eq!(exact_time(640_000_000), "640 ms");
        assert_eq!(exact_time(1_500), "1500 ns");
    }

    #[test]
    fn about_is_two_decimals() {
        assert_eq!(about_size(1_536), "1.50 KiB");
        assert_eq!(about_size(12), "12 bytes");
        assert_eq!(about_time(1_234_567), "1.23ms");
        assert_eq!(about_count(812_345_678), "812.35 M");
        assert_eq!(about_count(999), "999");
    }
}
