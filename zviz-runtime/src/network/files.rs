//! What programs read of names: resolv.conf(5), hosts(5), hostname(5), made for one sandbox and gone with its state.

use crate::plan::network::Files;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fchmod};
use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;

/// The name that needs no line of its own.
const LOCALHOST: &str = "localhost";
/// For everybody to read.
const MODE: Mode = Mode::from_bits_truncate(0o444);

/// Their names, in /etc and in the container's own folder of the store.
pub const NAMES: [&str; 3] = ["resolv.conf", "hosts", "hostname"];

/// Writes them. The addresses are the sandbox's own.
///
/// # Errors
/// Those of the system calls, with the file's name.
pub(super) fn write(folder: &File, files: &Files, addresses: &[IpAddr]) -> Result<(), (&'static str, io::Error)> {
    let texts = [files.resolver.clone(), hosts(&files.hostname, addresses), format!("{}\n", files.hostname)];
    for (name, text) in NAMES.into_iter().zip(texts) {
        one(folder, name, &text).map_err(|error| (name, error))?;
    }
    Ok(())
}

fn one(folder: &File, name: &str, text: &str) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(folder, name, flags, MODE)?);
    // Whatever the caller's umask.
    fchmod(&file, MODE)?;
    file.write_all(text.as_bytes())
}

fn hosts(hostname: &str, addresses: &[IpAddr]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    if hostname == LOCALHOST {
        return text;
    }
    // Without its dots, too: programs ask for what uname(2) says and for its first part.
    let short = hostname.split_once('.').map(|(short, _)| format!(" {short}")).unwrap_or_default();
    let mut line = |address: IpAddr| text.push_str(&format!("{address}\t{hostname}{short}\n"));
    match addresses {
        // Its addresses are those of the host, which change: as Debian does for such.
        [] => line(IpAddr::from([127, 0, 1, 1])),
        addresses => addresses.iter().copied().for_each(line),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn its_own_name_leads_to_itself() {
        let own = ["10.213.0.7".parse().unwrap(), "fd7a:7669:7a00::ad5:7".parse().unwrap()];
        let local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
        assert_eq!(hosts("localhost", &own), local);
        let named = format!("{local}10.213.0.7\tweb.example web\nfd7a:7669:7a00::ad5:7\tweb.example web\n");
        assert_eq!(hosts("web.example", &own), named);
        assert_eq!(hosts("web", &[]), format!("{local}127.0.1.1\tweb\n"));
    }

    #[test]
    fn they_are_for_everybody_to_read() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = File::open(scratch.path()).unwrap();
        let files = Files { hostname: "web".into(), resolver: "nameserver 192.0.2.1\n".into() };
        write(&folder, &files, &[]).unwrap();
        for name in NAMES {
            let path = scratch.path().join(name);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o444);
        }
        assert_eq!(std::fs::read_to_string(scratch.path().join("hostname")).unwrap(), "web\n");
        let (name, error) = write(&folder, &files, &[]).unwrap_err();
        assert_eq!((name, error.kind()), ("resolv.conf", io::ErrorKind::AlreadyExists));
    }
}
