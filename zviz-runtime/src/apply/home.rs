//! HOME of a payload whose environment has none: what the container's own /etc/passwd says of its user. Engines leave
//! this to the runtime, as runc does it. Read by init, inside the container's root, into room that was made before.

use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use zviz_sys::fd;
use zviz_sys::path::{self, resolve};

/// More than PATH_MAX and the name: no directory has a longer path.
pub(crate) const LONGEST: usize = 4096 + b"HOME=".len();

/// A line that is longer ends the search.
const BUFFER: usize = 16 << 10;
/// As much of the file as is looked at.
const MOST: usize = 16 << 20;

/// What the file is read into.
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    pub(crate) fn new() -> Self {
        Buffer(vec![0; BUFFER])
    }

    /// The home directory of a user in the passwd(5) of the container with that root; `/` if it says nothing.
    pub(crate) fn home(&mut self, root: BorrowedFd<'_>, uid: u32) -> &[u8] {
        match self.find(root, uid) {
            Ok(Some((from, to))) => self.0.get(from..to).unwrap_or(b"/"),
            // No such file, no such user, or nothing that can be read: as if there were no users.
            Ok(None) | Err(_) => b"/",
        }
    }

    /// Where in the buffer it stands.
    fn find(&mut self, root: BorrowedFd<'_>, uid: u32) -> Result<Option<(usize, usize)>, Errno> {
        // Not waited for if it is a fifo.
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = path::openat2(root, c"etc/passwd", flags, 0, resolve::IN_ROOT | resolve::NO_MAGICLINKS)?;
        if fd::stat(&file)?.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Ok(None);
        }
        let (mut filled, mut total) = (0, 0);
        while let Some(room) = self.0.get_mut(filled..).filter(|room| !room.is_empty()) {
            let n = fd::read(file.as_fd(), room)?;
            filled += n;
            total += n;
            let held = self.0.get(..filled).unwrap_or_default();
            // The last line may lack its end, but only at the end of the file.
            let whole = if n == 0 { filled } else { held.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1) };
            let mut begin = 0;
            for line in held.get(..whole).unwrap_or_default().split_inclusive(|b| *b == b'\n') {
                if let Some((from, to)) = home_in(line, uid) {
                    return Ok(Some((begin + from, begin + to)));
                }
                begin += line.len();
            }
            if n == 0 || total > MOST {
                break;
            }
            self.0.copy_within(whole..filled, 0);
            filled -= whole;
        }
        Ok(None)
    }
}

/// Where a line has the home directory, if it is that user's: `name:password:uid:gid:comment:home:shell`.
fn home_in(line: &[u8], uid: u32) -> Option<(usize, usize)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut begin = 0;
    let mut found = false;
    for (i, field) in line.split(|b| *b == b':').enumerate() {
        match i {
            2 => found = number(field) == Some(uid),
            5 if found && !field.is_empty() && !field.contains(&0) => return Some((begin, begin + field.len())),
            _ => {}
        }
        begin += field.len() + 1;
    }
    None
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn home(passwd: &str, uid: u32) -> String {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        let root = fs::File::open(root.path()).unwrap();
        String::from_utf8(Buffer::new().home(root.as_fd(), uid).to_vec()).unwrap()
    }

    #[test]
    fn lines_of_passwd() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\n#\nu:x:7:7:::\na:x:1000:1:A:/home/a:/bin/sh\nb:x:1000:1::/b:\nc:::::/c";
        for (uid, want) in [(0, "/root"), (1000, "/home/a"), (7, "/"), (8, "/")] {
            assert_eq!(home(passwd, uid), want);
        }
        assert_eq!(home("last:x:5:5::/last", 5), "/last");
        assert_eq!(home("short:x:5", 5), "/");
        assert_eq!(home("sign:x:+5:5::/no:\n", 5), "/");
        assert_eq!(home("", 0), "/");
    }

    #[test]
    fn a_file_larger_than_the_buffer() {
        let mut passwd: String = (0..3000).map(|i| format!("user{i}:x:{i}:{i}::/home/user{i}:/bin/sh\n")).collect();
        assert!(passwd.len() > 2 * BUFFER);
        assert_eq!(home(&passwd, 2999), "/home/user2999");
        passwd.insert_str(0, &"x".repeat(BUFFER + 1));
        assert_eq!(home(&passwd, 2999), "/");
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let fd = fs::File::open(root.path()).unwrap();
        assert_eq!(Buffer::new().home(fd.as_fd(), 0), b"/");
        fs::create_dir(root.path().join("etc")).unwrap();
        nix::unistd::mkfifo(&root.path().join("etc/passwd"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(Buffer::new().home(fd.as_fd(), 0), b"/");
    }
}
