//! Sandboxes inside the sandbox. Each of these works under the profile `nested` and fails under the default one.

use super::{each, fails, works};

const BWRAP: &[&str] =
    &["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--unshare-all"];

#[test]
fn bubblewrap_runs_inside() {
    each("bubblewrap_runs_inside", &["bwrap"], |caller| {
        let script = "ls /proc | grep -c '^[0-9]'; echo made > /tmp/file && cat /tmp/file; \
                      echo x 2>/dev/null > /usr/file || echo read-only";
        let command = [BWRAP, &["sh", "-c", script]].concat();
        let out = works(caller, "nested", &command);
        // Its own processes alone.
        assert!(out.lines().next().is_some_and(|count| count.parse::<u32>().is_ok_and(|count| count <= 5)), "{out}");
        assert!(out.ends_with("made\nread-only"), "{out}");
        fails(caller, "default", &command);
    });
}

#[test]
fn mounts_are_made_by_their_rules() {
    each("mounts_are_made_by_their_rules", &["unshare"], |caller| {
        let inside = |script: &str| ["unshare", "-Urmpf", "sh", "-c", script].map(str::to_owned);
        let run = |script: &str| {
            let command = inside(script);
            works(caller, "nested", &command.each_ref().map(String::as_str))
        };
        // A new file system, as large as it may be; a bind; their end.
        let out = run("mount -t tmpfs -o size=100g tmpfs /tmp && df -k --output=size /tmp | tail -n1; \
                       mkdir /tmp/a && mount --bind /usr /tmp/a && ls /tmp/a | grep -c bin; umount /tmp/a; ls /tmp/a | wc -l; \
                       mount -o remount,size=200g /tmp; df -k --output=size /tmp | tail -n1");
        let lines: Vec<&str> = out.lines().map(str::trim).collect();
        assert_eq!((lines[0], lines[2], lines[3]), ("524288", "0", "524288"), "{out}");
        // A proc of the new pid namespace.
        assert_eq!(run("mount -t proc proc /proc && cat /proc/1/comm").lines().last(), Some("sh"));
        // What is not on the list.
        for fstype in ["ext4", "debugfs", "bpf", "fuse", "securityfs"] {
            let out = run(&format!("mount -t {fstype} none /tmp 2>&1 || echo refused"));
            assert!(out.ends_with("refused"), "{fstype}: {out}");
        }
        // The host's mounts that are read-only stay so, whoever asks.
        let out = run("mount -o remount,rw,bind /usr 2>&1; touch /usr/x 2>&1 || echo read-only");
        assert!(out.ends_with("read-only"), "{out}");
        let script = inside("mount -t tmpfs tmpfs /tmp");
        fails(caller, "default", &script.each_ref().map(String::as_str));
    });
}

/// A caller without the right natively has none by way of the broker.
#[test]
fn rights_are_the_callers_own() {
    each("rights_are_the_callers_own", &["unshare"], |caller| {
        // No capability in the sandbox's own user namespace.
        for command in
            ["mount -t tmpfs tmpfs /tmp", "umount -l /tmp", "mount --bind /usr /tmp", "mknod /tmp/null c 1 3"]
        {
            let out = works(caller, "nested", &["sh", "-c", &format!("{command} 2>&1 || echo refused")]);
            assert!(out.ends_with("refused"), "{command}: {out}");
        }
        // Nor after giving it up inside a namespace of one's own, where it would do.
        let give_up =
            "setpriv --bounding-set=-sys_admin --inh-caps=-all mount -t tmpfs tmpfs /tmp 2>&1 || echo refused";
        let out = works(caller, "nested", &["unshare", "-Urm", "sh", "-c", give_up]);
        assert!(out.ends_with("refused"), "{out}");
        let keep = "mount -t tmpfs tmpfs /tmp && echo mounted";
        assert_eq!(works(caller, "nested", &["unshare", "-Urm", "sh", "-c", keep]), "mounted", "the control");
    });
}

/// Devices that cannot do harm are there for who may make them in a namespace of their own.
#[test]
fn harmless_devices_are_made() {
    each("harmless_devices_are_made", &["unshare"], |caller| {
        let script = "mount -t tmpfs -o mode=700 tmpfs /tmp && mknod /tmp/null c 1 3 && echo gone > /tmp/null && \
                      stat -c '%F %t:%T' /tmp/null; head -c 3 /dev/zero | wc -c; \
                      mknod /tmp/disk b 8 0 2>/dev/null || echo refused; mknod /tmp/mem c 1 1 2>/dev/null || echo refused";
        let out = works(caller, "nested", &["unshare", "-Urm", "sh", "-c", script]);
        assert_eq!(out, "character special file 1:3\n3\nrefused\nrefused");
    });
}
