//! What runs tests that fork, and so need a process with one thread.

#[path = "../../../zviz/tests/support/needs.rs"]
#[allow(dead_code, reason = "shared with tests that need more")]
pub mod needs;

/// Is told its name, for what it skips.
pub type Test = fn(&str);

/// Runs them as root, one after the other. Any argument of the program's names those to run. `what` needs root.
pub fn run(tests: &[(&str, Test)], what: &str) {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if std::env::args().any(|argument| argument == "--list") {
        return tests.iter().for_each(|(name, _)| println!("{name}: test"));
    }
    let chosen = tests.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part)));
    let mut passed = 0;
    for (name, test) in chosen {
        if nix::unistd::geteuid().is_root() {
            test(name);
        } else {
            needs::skip(name, &format!("needs root, {what}"));
        }
        passed += 1;
        println!("test {name} ... ok");
    }
    println!("test result: ok. {passed} passed; 0 failed; 0 ignored");
}
