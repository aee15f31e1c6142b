//! What a container may have left on the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Cgroups of this name, anywhere below a directory.
pub fn cgroups(below: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Others come and go meanwhile.
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if entry.file_name().to_string_lossy().contains(name) {
                found.push(entry.path());
            }
            found.extend(cgroups(&entry.path(), name));
        }
    }
    found
}

/// Processes, but for this one and zombies, whose cgroup, arguments or environment name any of these. What is on its way
/// out is waited for.
pub fn processes(names: &[&str]) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let found = living(names);
        if found.is_empty() || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn living(names: &[&str]) -> Vec<String> {
    let own = std::process::id().to_string();
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let others = all.filter(|path| path.join("stat").exists() && !path.ends_with(&own) && !path.ends_with("self"));
    let of_container = |process: PathBuf| {
        let of = |file: &str| fs::read(process.join(file)).ok().map(|text| String::from_utf8_lossy(&text).into_owned());
        let texts: Vec<String> = ["cgroup", "cmdline", "environ"].iter().filter_map(|file| of(file)).collect();
        let named = texts.iter().any(|text| names.iter().any(|name| text.contains(name)));
        // A zombie has neither arguments nor environment.
        (named && texts.iter().skip(1).any(|text| !text.is_empty())).then(|| texts.join(" "))
    };
    others.filter_map(of_container).collect()
}
