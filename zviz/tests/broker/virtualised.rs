//! What a program may know of the machine.

use super::{each, works};

/// Calls sysinfo(2) itself: libc and proc have other ways to know.
const SYSINFO: &str = "
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(256)
assert libc.sysinfo(buffer) == 0, ctypes.get_errno()
uptime, l1, l2, l3, total, free = struct.unpack_from('=q3Q2Q', buffer.raw)
print(uptime, l1 + l2 + l3, total, free)
";

#[test]
fn sysinfo_tells_the_limits() {
    each("sysinfo_tells_the_limits", &["python3"], |caller| {
        let numbers = |profile: &str| -> Vec<u64> {
            let out = works(caller, profile, &["python3", "-c", SYSINFO]);
            out.split_whitespace().map(|number| number.parse().unwrap()).collect()
        };
        let host = numbers("default");
        let limited = numbers("virtualised");
        let (uptime, loads, total, free) = (limited[0], limited[1], limited[2], limited[3]);
        assert!(uptime < 60 && loads == 0, "{limited:?}");
        // The default limit is a part of the machine's memory, where there is a controller for it.
        assert!(total <= host[2] && free <= total, "{limited:?} of {host:?}");
        assert!(host[0] > uptime, "the control: without the profile the machine's own uptime is seen");
    });
}

#[test]
fn the_release_is_another_and_the_names_are_the_sandboxs() {
    each("the_release_is_another", &[], |caller| {
        let release = |profile: &str| works(caller, profile, &["uname", "-r"]);
        assert_eq!(release("virtualised"), "6.1.0");
        assert_ne!(release("default"), "6.1.0", "the control");
        assert_eq!(works(caller, "virtualised", &["uname", "-n"]), "localhost");
        // Many calls, from several threads' worth of processes at once.
        let many = "for i in 1 2 3 4; do (for j in 1 2 3 4 5 6 7 8; do uname -r; done) & done; wait";
        assert_eq!(works(caller, "virtualised", &["sh", "-c", many]).lines().filter(|l| *l == "6.1.0").count(), 32);
    });
}
