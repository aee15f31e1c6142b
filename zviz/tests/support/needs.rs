//! What a test needs, and what is said where it is not there.

use std::any::type_name;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Something that not every machine has.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// To be root of the machine.
    Root,
    /// A program on the search path or where a system's own programs are.
    Program(&'static str),
    /// A controller of cgroup v1, mounted where everybody looks for it.
    V1(&'static str),
    /// A file or a folder.
    File(&'static str),
}

impl Need {
    fn missing(self) -> Option<String> {
        match self {
            Need::Root => (!nix::unistd::geteuid().is_root()).then(|| "needs root".to_owned()),
            Need::Program(name) => program(name).is_none().then(|| format!("{name} is not installed")),
            Need::V1(controller) => {
                let tasks = Path::new("/sys/fs/cgroup").join(controller).join("tasks");
                (!tasks.exists()).then(|| format!("cgroup v1 has no {controller} controller here"))
            }
            Need::File(path) => (!Path::new(path).exists()).then(|| format!("{path} is not here")),
        }
    }
}

/// Where a program is: the distribution's own comes before what somebody has put in front of it.
pub fn program(name: &str) -> Option<PathBuf> {
    let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = system.into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The full name of the function that the function `here` is in.
pub fn name_of<F>(_here: &F) -> &'static str {
    type_name::<F>().trim_end_matches("::here").trim_end_matches("::{{closure}}")
}

/// The first of the programs that is not installed.
pub fn missing(programs: &[&'static str]) -> Option<&'static str> {
    programs.iter().copied().find(|name| program(name).is_none())
}

/// Whether something is missing; it is said. # Panics where the test must run.
pub fn unmet(test: &str, needs: &[Need]) -> bool {
    let why = needs.iter().find_map(|need| need.missing());
    why.as_deref().inspect(|why| skip(test, why)).is_some()
}

/// Says why a test does not run. A skip is no pass: where the file that ZVIZ_MUST_RUN names has a line with the test's
/// name, or with that of what it is in, it is a failure. What these are in themselves may be left out of the line.
pub fn skip(test: &str, why: &str) {
    assert!(!must_run(test), "{test} must run here, and cannot: {why}");
    // Straight to the descriptor: what goes through eprintln! is only seen of a test that fails.
    let _ = std::io::stderr().write_all(format!("SKIP {test}: {why}\n").as_bytes());
}

fn must_run(test: &str) -> bool {
    let Some(path) = std::env::var_os("ZVIZ_MUST_RUN").filter(|path| !path.is_empty()) else { return false };
    let path = PathBuf::from(path);
    let list = fs::read_to_string(&path).unwrap_or_else(|e| panic!("ZVIZ_MUST_RUN={}: {e}", path.display()));
    let test = format!("::{test}::");
    let listed = |line: &str| !line.is_empty() && test.contains(&format!("::{line}::"));
    list.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).any(listed)
}
