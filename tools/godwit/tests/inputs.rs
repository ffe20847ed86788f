//! Goal: files that a scenario names cost memory only when all of them fit.
//! Method: files that are long and empty on the disk, which reading would fill memory with.

use godwit::Scenario;
use std::fs::{self, File};
use std::path::Path;

const MIB: u64 = 1 << 20;

/// A scenario whose job has such inputs, each `(file, MiB at which it goes)`.
fn mistake(folder: &Path, aperture_mib: u64, inputs: &[(&str, u64)]) -> String {
    let job = godwit_kernels::Job::sha256_chain(3, 8, 4, 5);
    fs::write(folder.join("chain.elf"), job.elf).unwrap();
    let inputs: Vec<String> = inputs
        .iter()
        .map(|(file, at)| format!("{{ file = \"{file}\", at = \"{at} MiB\" }}"))
        .collect();
    let text = format!(
        "[[host]]\nname = \"a\"\nframebuffer = \"8 GiB\"\n\n\
         [[vgpu]]\nname = \"v\"\nhost = \"a\"\n\
         profile = {{ framebuffer = \"4 GiB\", aperture = \"{aperture_mib} MiB\" }}\n\n\
         [[job]]\nname = \"j\"\nvgpu = \"v\"\nelf = \"chain.elf\"\ninputs = [{}]\n\
         output = {{ at = \"4 MiB\", bytes = 256 }}\n",
        inputs.join(", ")
    );
    let scenario = Scenario::parse(Path::new("a.toml"), &text, folder, None);
    scenario.expect_err("a mistake").to_string()
}

/// Most memory that this process has had, in bytes.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

#[test]
fn files_that_do_not_fit_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    for at in 0..6 {
        let file = File::create(folder.path().join(format!("{at}.bin"))).unwrap();
        file.set_len(200 * MIB).unwrap();
    }
    File::create(folder.path().join("huge.bin")).unwrap().set_len(1 << 40).unwrap();

    let outside = mistake(folder.path(), 16, &[("0.bin", 5)]);
    assert!(outside.contains("input 0, 0xc800000 bytes at 0x500000, does not lie"), "{outside}");
    assert!(outside.contains("what fits the aperture of `v`, 16 MiB"), "{outside}");

    let over = mistake(folder.path(), 2048, &[("0.bin", 5), ("1.bin", 100)]);
    assert!(over.contains("two inputs overlap"), "{over}");

    let places: Vec<(String, u64)> = (0..6).map(|at| (format!("{at}.bin"), 5 + 250 * at)).collect();
    let places: Vec<(&str, u64)> = places.iter().map(|(file, at)| (file.as_str(), *at)).collect();
    let many = mistake(folder.path(), 2048, &places);
    assert!(many.contains("`5.bin` is one file too many; allowed: files of up to 1 GiB"), "{many}");

    let huge = mistake(folder.path(), 2048, &[("huge.bin", 5)]);
    assert!(huge.contains("`huge.bin` is longer than 256 MiB"), "{huge}");

    assert!(peak_bytes() < 150 * MIB, "{} bytes", peak_bytes());
}
