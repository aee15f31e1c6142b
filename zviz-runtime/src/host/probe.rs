//! Reads the machine. It is on the way to every start: a few system calls and small files, some tens of microseconds.

use super::{Host, IdRange, Kernel};
use nix::unistd;
use std::path::Path;
use std::{fs, io};

/// CAP_SYS_ADMIN.
const SYS_ADMIN: u64 = 1 << 21;

impl Host {
    /// Reads this machine. What cannot be read is taken as absent: a decision on it refuses or says so.
    ///
    /// # Errors
    /// If /proc is not there, or the kernel's version makes no sense.
    pub fn probe() -> io::Result<Host> {
        let euid = unistd::geteuid().as_raw();
        let capabilities = own_capabilities().map_err(at("capget"))?;
        let rootless = euid != 0 || capabilities & SYS_ADMIN == 0;
        let user = if rootless { user_name(euid) } else { None };
        let ranges = |file: &str| match rootless {
            true => subids(&fs::read_to_string(file).unwrap_or_default(), user.as_deref(), euid),
            false => Vec::new(),
        };
        Ok(Host {
            euid,
            egid: unistd::getegid().as_raw(),
            rootless,
            user_namespace: !is_first_namespace(&read("/proc/self/uid_map")?),
            kernel: kernel().map_err(at("uname"))?,
            last_capability: last_capability()?,
            capabilities,
            landlock_abi: zviz_sys::landlock::abi(),
            apparmor: fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y")),
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            time_namespaces: Path::new("/proc/self/timens_offsets").exists(),
            kcore: Path::new("/proc/kcore").exists(),
            resctrl: Path::new("/sys/fs/resctrl/schemata").exists(),
            subuids: ranges("/etc/subuid"),
            subgids: ranges("/etc/subgid"),
            id_helpers: rootless && ["newuidmap", "newgidmap"].iter().all(|name| installed(name)),
            cgroup: super::cgroup::probe().map_err(at("/proc/self/cgroup and mountinfo"))?,
        })
    }
}

/// Names what was looked at.
fn at(what: &str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("look at this machine: {what}: {error}"))
}

fn read(path: &str) -> io::Result<String> {
    fs::read_to_string(path).map_err(at(path))
}

fn own_capabilities() -> io::Result<u64> {
    let set = caps::read(None, caps::CapSet::Effective).map_err(io::Error::other)?;
    Ok(set.iter().fold(0, |mask, capability| mask | capability.bitmask()))
}

/// The first user namespace maps every id to itself. user_namespaces(7).
fn is_first_namespace(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn kernel() -> io::Result<Kernel> {
    let name = nix::sys::utsname::uname()?;
    let release = name.release().to_string_lossy();
    parse_release(&release).ok_or_else(|| io::Error::other(format!("kernel release {release:?} has no version")))
}

fn parse_release(release: &str) -> Option<Kernel> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some(Kernel { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
}

fn last_capability() -> io::Result<u32> {
    let path = "/proc/sys/kernel/cap_last_cap";
    read(path)?.trim().parse().map_err(|error| at(path)(io::Error::other(error)))
}

/// By /etc/passwd alone: a static binary does without NSS, as newuidmap(1)'s own files do.
fn user_name(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let uid = uid.to_string();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

/// The lines of subuid(5) that name the user, or its number.
fn subids(text: &str, user: Option<&str>, uid: u32) -> Vec<IdRange> {
    let uid = uid.to_string();
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        if Some(owner) != user && owner != uid {
            return None;
        }
        Some(IdRange { start: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? })
    };
    text.lines().filter_map(line).collect()
}

fn installed(name: &str) -> bool {
    ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(parse_release("6.18.44-fc-v669"), Some(Kernel { major: 6, minor: 18 }));
        assert_eq!(parse_release("7.2-rc1"), Some(Kernel { major: 7, minor: 2 }));
        assert_eq!(parse_release("x"), None);
    }

    #[test]
    fn subids_by_name_and_number() {
        let text = "root:1:2\nbob:100000:65536\n1000:300000:10\nbroken:x:y\n";
        let want = vec![IdRange { start: 100_000, count: 65_536 }, IdRange { start: 300_000, count: 10 }];
        assert_eq!(subids(text, Some("bob"), 1000), want);
    }

    #[test]
    fn the_first_user_namespace() {
        assert!(is_first_namespace("         0          0 4294967295\n"));
        assert!(!is_first_namespace("0 1000 1\n"));
    }

    #[test]
    fn this_machine_can_be_read() {
        let host = Host::probe().expect("a Linux machine");
        assert!(host.kernel.major >= 5);
        assert!(host.last_capability >= 37);
    }
}
