//! Callers that stage.
#![allow(dead_code, reason = "each test file uses a part")]

use crate::callers::Caller;
use crate::support::skip;
use std::path::Path;
use std::process::{Command, Output};

/// As root and as an ordinary user; nothing may be left in the folder that is ours.
pub fn each(test: &str, check: impl Fn(&Caller)) {
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "needs root, to make a user");
    }
    for caller in Caller::both() {
        let probe = caller.sandbox(&["--stage"], &["true"]).output().unwrap();
        let text = String::from_utf8_lossy(&probe.stderr);
        if text.contains("overlay") {
            skip(test, &format!("no overlay can be made here as {}: {text}", caller.name()));
            continue;
        }
        check(&caller);
        assert_eq!(caller.left(), [""; 0], "as {}: something is left behind", caller.name());
        assert!(!listing(&caller.work).contains("zviz"), "as {}: {}", caller.name(), listing(&caller.work));
    }
}

pub trait Stager {
    /// A script as the caller, outside any sandbox.
    fn fills(&self, script: &str);
    /// What `zviz stage` prints. It must end well.
    fn stage(&self, arguments: &[&str]) -> String;
    /// What `zviz stage` says of its failure.
    fn stage_fails(&self, arguments: &[&str]) -> String;
    /// `zviz stage`.
    fn staging(&self, arguments: &[&str]) -> Output;
}

impl Stager for Caller {
    fn fills(&self, script: &str) {
        let output = self.program("sh").args(["-euc", script]).output().unwrap();
        assert!(output.status.success(), "as {}: {script}: {output:?}", self.name());
    }

    fn stage(&self, arguments: &[&str]) -> String {
        let output = self.staging(arguments);
        assert!(output.status.success(), "as {}: {arguments:?}: {output:?}", self.name());
        String::from_utf8(output.stdout).unwrap()
    }

    fn stage_fails(&self, arguments: &[&str]) -> String {
        let output = self.staging(arguments);
        assert_eq!(output.status.code(), Some(1), "as {}: {arguments:?}: {output:?}", self.name());
        String::from_utf8(output.stderr).unwrap()
    }

    fn staging(&self, arguments: &[&str]) -> Output {
        self.program(self.place.path().join("zviz")).arg("stage").args(arguments).output().unwrap()
    }
}

/// Every path in a folder, with kind, permissions and size.
pub fn listing(folder: &Path) -> String {
    let output =
        Command::new("find").arg(folder).args(["-mindepth", "1", "-printf", "%P %y %m %s %l\\n"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}
