//! Names that are given away while others put something else there.

use super::callers::Caller;
use super::each;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Renames a file, and what is not there, to `k/hooks`, while others put a folder with a file in their places. Says how often it
/// could, and in which of the two cases the folder came along.
const PROGRAM: &str = "
import ctypes, os, shutil, sys, threading, time
libc = ctypes.CDLL(None)
EXCHANGE = 2
def swap(): libc.renameat2(-100, b'd', -100, b'x', EXCHANGE)
def make():
    for step in (lambda: os.mkdir('n'), lambda: open('n/own', 'w').close(), lambda: os.unlink('n/own'), lambda: os.rmdir('n')):
        try: step()
        except OSError: pass
os.mkdir('k'); os.mkdir('d'); open('d/own', 'w').close(); open('x', 'w').close()
ends, done, won = False, 0, set()
def go(what):
    while not ends: what()
others = [threading.Thread(target=go, args=[what]) for what in (swap, swap, make, make)]
for other in others: other.start()
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until and len(won) < 2:
    for name in 'xn':
        try: os.rename(name, 'k/hooks')
        except OSError: continue
        done += 1
        if os.path.exists('k/hooks/own'): won.add(name)
        try: os.rename('k/hooks', name)
        except OSError: shutil.rmtree('k/hooks', ignore_errors=True)
ends = True
for other in others: other.join()
print(done > 0, ''.join(sorted(won)))
";

/// What it says under a rule about what is written.
fn said(caller: &Caller, rule: &str, seconds: &str) -> String {
    let folder = caller.work.join("renames");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let profile = caller.work.join("renames.yaml");
    let text = format!("name: renames\nextends: default\nfilesystem: {{patterns: {{deny_write: ['{rule}']}}}}\n");
    fs::write(&profile, text).unwrap();
    fs::set_permissions(&profile, fs::Permissions::from_mode(0o644)).unwrap();
    let (user, group) = caller.ids();
    std::os::unix::fs::chown(&profile, Some(user), Some(group)).unwrap();
    let (profile, folder) = (profile.to_str().unwrap(), folder.to_str().unwrap());
    let share = format!("{folder}:{folder}");
    let flags = ["--profile", profile, "--rw", &share, "--cwd", folder];
    let output = caller.run(&flags, &["python3", "-c", PROGRAM, seconds]);
    assert!(output.status.success(), "as {}: {output:?}", caller.name());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Files may become `k/hooks`, and folders may not, since what is in them would be what the rule refuses.
#[test]
fn no_folder_is_moved_in_the_place_of_a_file() {
    each("no_folder_is_moved_in_the_place_of_a_file", &["python3"], |caller| {
        assert_eq!(said(caller, "**/hooks/**", "3"), "True", "as {}", caller.name());
        assert_eq!(said(caller, "**/others/**", "20"), "True nx", "as {}: the control", caller.name());
    });
}
