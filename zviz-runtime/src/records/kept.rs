//! Records that are kept somewhere: by auditd(8) in its file, or by the kernel in its log, where nobody listens to them. The
//! kernel's log has few of them (it prints ten in five seconds), and forgets the oldest.

use super::line::{self, LONGEST};
use super::{Kept, Sieve, Whose};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Of auditd(8). Its older files are not read.
const FILE: &str = "/var/log/audit/audit.log";
/// The kernel's log, a record at a read.
const LOG: &str = "/dev/kmsg";
/// The newest part of the file that is read, in bytes.
const NEWEST: u64 = 16 << 20;
/// Records of the kernel's log that are read: more than fit into the largest that is usual.
const MOST: usize = 1 << 18;

/// What is kept of a container, from wherever there is something; none where nothing can be read.
#[must_use]
pub fn of(whose: &Whose) -> Option<Kept> {
    let (file, log) = (of_file(whose, Path::new(FILE)).ok(), of_log(whose, Path::new(LOG)).ok());
    // Of an event that is in both one is enough: where somebody listens, the kernel prints nothing.
    match (file, log) {
        (Some(file), Some(log)) => Some(if file.denials.is_empty() { log } else { file }),
        (file, log) => file.or(log),
    }
}

fn of_file(whose: &Whose, path: &Path) -> io::Result<Kept> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(NEWEST)))?;
    let mut bytes = Vec::new();
    file.take(NEWEST).read_to_end(&mut bytes)?;
    let mut sieve = Sieve::new(whose.clone());
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| line.len() <= 2 * LONGEST) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if let Some(entry) = line::of_file(line).and_then(|(kind, text)| line::read(kind, text)) {
            sieve.take(entry);
        }
    }
    Ok(sieve.end())
}

fn of_log(whose: &Whose, path: &Path) -> io::Result<Kept> {
    let mut log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut sieve = Sieve::new(whose.clone());
    let mut buffer = vec![0; 2 * LONGEST];
    for _ in 0..MOST {
        let length = match log.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => break,
                // It was overwritten meanwhile; or is longer than any that is read here.
                Some(libc::EPIPE | libc::EINVAL) => continue,
                _ => return Err(error),
            },
        };
        // Behind the first line are names of devices.
        let text = buffer.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let record = text.and_then(|text| text.lines().next()).and_then(line::of_kernel_log);
        if let Some(entry) = record.and_then(|(kind, text)| line::read(kind, text)) {
            sieve.take(entry);
        }
    }
    Ok(sieve.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "type=1400 audit(5.000:9): apparmor=\"DENIED\" operation=\"open\" class=\"file\" \
                       profile=\"zviz-1\" name=\"/x\" pid=3 comm=\"c\" requested_mask=\"w\" denied_mask=\"w\" fsuid=0 ouid=0";

    fn whose() -> Whose {
        Whose { apparmor: Some("zviz-1".into()), ..Whose::default() }
    }

    #[test]
    fn a_file_of_records_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (_, rest) = ONE.split_once(' ').unwrap();
        let long = "x".repeat(3 * LONGEST);
        let text = format!("type=AVC msg={rest}\u{1d}FSUID=\"root\"\ntype=AVC {long}\nnode=a type=AVC msg={rest}\n\n");
        std::fs::write(file.path(), [text.as_bytes(), b"type=AVC \xff\n", &text.as_bytes()[..70]].concat()).unwrap();
        assert_eq!(of_file(&whose(), file.path()).unwrap().denials.len(), 2);
        assert!(of_file(&whose(), Path::new("/nowhere")).is_err());
    }

    #[test]
    fn the_kernels_log_has_an_end() {
        match of_log(&whose(), Path::new(LOG)) {
            Ok(kept) => assert_eq!(kept, Kept::default()),
            Err(error) => assert_ne!(error.raw_os_error(), Some(libc::EAGAIN)),
        }
    }

    #[test]
    fn only_the_kernel_writes_as_the_kernel() {
        let line = |head: &str| line::of_kernel_log(&format!("{head};audit: {ONE}")).is_some();
        // LOG_USER and LOG_LOCAL7: what devkmsg_write makes of a stranger's.
        assert!(line("5,12,400,-") && !line("13,12,400,-") && !line("189,1,1,-") && !line("") && !line("x,1"));
        assert_eq!(line::of_kernel_log("5,1,1,-;other: audit: type=1400 audit(1.0:1): pid=1"), None);
        assert_eq!(line::of_kernel_log(ONE), None);
    }
}
