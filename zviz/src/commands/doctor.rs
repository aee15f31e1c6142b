//! `doctor`

use super::print;
use crate::cli::Doctor;
use std::process::{Command, Stdio};
use zviz_runtime::doctor;

/// What is kept of the last words of a sandbox that could not be made, in bytes.
const WORDS_MAX: usize = 1000;

/// Looks at the machine, tries a sandbox, and says what was found. The exit code: 0 if the sandbox worked.
pub fn run(arguments: &Doctor) -> anyhow::Result<u8> {
    let mut seen = doctor::probe()?;
    let run = sandbox(&[]);
    seen.without_namespaces = run.is_err().then(|| sandbox(&["--backend", "landlock"]));
    seen.run = Some(run);
    let report = doctor::examine(&seen);
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&report)? + "\n",
        false => report.to_string(),
    };
    print(&text)?;
    Ok(u8::from(!report.works))
}

/// The whole way, as a user would go it. By this program's own file, whatever became of its name.
fn sandbox(flags: &[&str]) -> Result<(), String> {
    let output = Command::new("/proc/self/exe")
        .args(["run", "--cwd", "/"])
        .args(flags)
        .args(["--", "true"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.trim().replace('\n', "; ");
    match words.is_empty() {
        true => Err(output.status.to_string()),
        false => Err(words.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()),
    }
}
