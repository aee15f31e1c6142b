//! Who answers this host's questions for names: resolv.conf(5).

use super::Error;
use crate::plan::{MountKind, Plan};
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;

const CONF: &str = "/etc/resolv.conf";
/// As many as the C library asks: MAXNS.
const MOST: usize = 3;
/// Far more than three lines take.
const LONGEST: u64 = 64 << 10;

/// Who is asked, in their order. Without any, the C library asks this host itself.
///
/// # Errors
/// The file cannot be read.
pub fn servers() -> Result<Vec<IpAddr>, Error> {
    read(Path::new(CONF)).map_err(Error::Names)
}

/// Who is asked inside a container, where its file is one of the host's that is mounted there.
pub(super) fn inside(plan: &Plan) -> Vec<IpAddr> {
    let mut sources =
        plan.mounts.iter().filter(|mount| mount.destination == CONF).filter_map(|mount| match &mount.kind {
            MountKind::Bind(bind) => Some(Path::new(&bind.source)),
            _ => None,
        });
    // One that cannot be read leads nowhere inside, either.
    sources.next_back().and_then(|path| read(path).ok()).unwrap_or_default()
}

fn read(path: &Path) -> io::Result<Vec<IpAddr>> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(parse(&text)),
    }
}

/// A zone index (`fe80::1%eth0`) means nothing in another namespace: such a server is left out.
fn parse(text: &str) -> Vec<IpAddr> {
    let mut servers: Vec<IpAddr> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() == Some("nameserver")
            && let Some(Ok(server)) = words.next().map(str::parse)
            && !servers.contains(&server)
            && servers.len() < MOST
        {
            servers.push(server);
        }
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_the_c_library_does() {
        let text = "# nameserver 9.9.9.9\nsearch a.b\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 x\nnameserver 192.0.2.1\n\
                    nameservers 1.1.1.1\nnameserver fe80::1%eth0\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n";
        let words: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(words, ["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
        assert_eq!(parse(""), [] as [IpAddr; 0]);
    }
}
