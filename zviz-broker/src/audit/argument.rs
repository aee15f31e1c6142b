//! Arguments of a system call, as far as they may be told.

use super::text::{LONGEST, Text};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use std::cell::Cell;
use std::net::SocketAddr;

/// How many bytes of arguments one record keeps: three paths of the longest, and others beside them.
const RECORD: usize = 3 * LONGEST + 1024;
/// What an argument takes of that beside its bytes.
const OVERHEAD: usize = 16;
/// How many bytes of an argument's name, which is one of ours.
const NAME: usize = 64;
/// How many arguments, and items of a list, are kept: more than a call has, and than a batch of messages needs.
const ITEMS: usize = 32;
/// How deep lists are followed.
const DEPTH: usize = 3;

/// One argument. There is none for the contents of a buffer, on purpose: what a program writes, sends or passes to
/// another is not the log's to keep.
#[derive(Debug, Clone, Copy)]
pub enum Argument<'a> {
    /// A path or another name of a file, as the target gave it.
    Path(&'a [u8]),
    /// Of a socket.
    Address(Address<'a>),
    /// A descriptor, a count, a result.
    Number(i64),
    /// One that may be large: a size, a mask, a pointer.
    Unsigned(u64),
    /// The names of flags, and the bits that have none.
    Flags(&'a [&'static str], u64),
    /// A name out of a table of ours.
    Text(&'static str),
    /// Several.
    List(&'a [Argument<'a>]),
}

/// The address of a socket, as sockaddr(3type) has it.
#[derive(Debug, Clone, Copy)]
pub enum Address<'a> {
    /// `192.0.2.1:80`, `[2001:db8::1]:443`.
    Internet(SocketAddr),
    /// `unix:/run/docker.sock`; `unix:` for a socket without a name.
    Unix(&'a [u8]),
    /// `unix:@name`, without its first zero byte.
    Abstract(&'a [u8]),
    /// `family 16`: nothing more is told of others.
    Family(u16),
}

/// Serializes the arguments of one call as an object.
pub(super) fn object<S: Serializer>(arguments: &[(&str, Argument<'_>)], serializer: S) -> Result<S::Ok, S::Error> {
    let room = Cell::new(RECORD);
    let mut map = serializer.serialize_map(None)?;
    for (name, argument) in arguments.iter().take(ITEMS) {
        map.serialize_entry(&Text::new(name.as_bytes(), NAME), &Within { argument, room: &room, depth: 0 })?;
    }
    if let Some(more) = arguments.len().checked_sub(ITEMS).filter(|more| *more > 0) {
        map.serialize_entry("\\{+}", &more)?;
    }
    map.end()
}

/// An argument of a record that has so much room left.
struct Within<'a> {
    argument: &'a Argument<'a>,
    room: &'a Cell<usize>,
    depth: usize,
}

/// Takes what a string needs of a record's room; it is cut where nothing is left.
fn room_for<'a>(bytes: &'a [u8], room: &Cell<usize>) -> Text<'a> {
    let text = Text::new(bytes, room.get());
    room.set(room.get().saturating_sub(bytes.len().min(LONGEST)));
    text
}

impl Serialize for Within<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |bytes| room_for(bytes, self.room);
        self.room.set(self.room.get().saturating_sub(OVERHEAD));
        match *self.argument {
            Argument::Path(path) => text(path).serialize(serializer),
            Argument::Text(name) => text(name.as_bytes()).serialize(serializer),
            Argument::Number(number) => serializer.serialize_i64(number),
            Argument::Unsigned(number) => serializer.serialize_u64(number),
            Argument::Address(Address::Internet(address)) => serializer.collect_str(&address),
            Argument::Address(Address::Unix(path)) => serializer.collect_str(&format_args!("unix:{}", text(path))),
            Argument::Address(Address::Abstract(name)) => serializer.collect_str(&format_args!("unix:@{}", text(name))),
            Argument::Address(Address::Family(family)) => serializer.collect_str(&format_args!("family {family}")),
            Argument::Flags(names, rest) => {
                let mut seq = serializer.serialize_seq(None)?;
                for name in names.iter().take(u64::BITS as usize) {
                    seq.serialize_element(&text(name.as_bytes()))?;
                }
                if rest != 0 {
                    seq.serialize_element(&format_args!("{rest:#x}"))?;
                }
                seq.end()
            }
            Argument::List(items) => {
                let most = if self.depth < DEPTH { ITEMS } else { 0 };
                let mut seq = serializer.serialize_seq(None)?;
                let mut rest = items.iter();
                for argument in rest.by_ref().take(most) {
                    seq.serialize_element(&Within { argument, room: self.room, depth: self.depth + 1 })?;
                    if self.room.get() == 0 {
                        break;
                    }
                }
                if rest.len() > 0 {
                    seq.serialize_element(&format_args!("\\{{+{} items}}", rest.len()))?;
                }
                seq.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(arguments: &[(&str, Argument<'_>)]) -> serde_json::Value {
        let mut bytes = Vec::new();
        object(arguments, &mut serde_json::Serializer::new(&mut bytes)).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn each_kind() {
        let flags = ["O_WRONLY", "O_CREAT"];
        let two = [Argument::Number(1), Argument::Path(b"/b")];
        let arguments = [
            ("dirfd", Argument::Number(-100)),
            ("path", Argument::Path(b"/etc/\x1b[31mpasswd\xff")),
            ("flags", Argument::Flags(&flags, 0x4000_0000)),
            ("none", Argument::Flags(&[], 0)),
            ("size", Argument::Unsigned(u64::MAX)),
            ("fstype", Argument::Text("tmpfs")),
            ("both", Argument::List(&two)),
        ];
        let expected = json!({
            "dirfd": -100, "path": "/etc/\\u{1b}[31mpasswd\\xff", "flags": ["O_WRONLY", "O_CREAT", "0x40000000"],
            "none": [], "size": u64::MAX, "fstype": "tmpfs", "both": [1, "/b"],
        });
        assert_eq!(value(&arguments), expected);
    }

    #[test]
    fn addresses() {
        for (address, text) in [
            (Address::Internet(([192, 0, 2, 1], 80).into()), "192.0.2.1:80"),
            (Address::Internet(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 443).into()), "[2001:db8::1]:443"),
            (Address::Unix(b"/run/a\nb"), "unix:/run/a\\nb"),
            (Address::Unix(b""), "unix:"),
            (Address::Abstract(b"\0x"), "unix:@\\0x"),
            (Address::Family(16), "family 16"),
        ] {
            assert_eq!(value(&[("address", Argument::Address(address))]), json!({ "address": text }));
        }
    }

    #[test]
    fn a_record_is_bounded() {
        let path = vec![0x1b; 1 << 16];
        let many = vec![Argument::Path(&path); 1 << 10];
        let few = vec![Argument::Unsigned(u64::MAX); 1 << 10];
        let name = "n".repeat(1 << 16);
        for list in [&many, &few] {
            let nested = vec![Argument::List(list); 1 << 10];
            let twice = vec![Argument::List(&nested); 1 << 10];
            for list in [&list[..], &nested, &twice] {
                for name in ["n", &name] {
                    let mut bytes = Vec::new();
                    let arguments = vec![(name, Argument::List(list)); 1 << 7];
                    object(&arguments, &mut serde_json::Serializer::new(&mut bytes)).unwrap();
                    assert!(bytes.len() < 100 << 10, "{}", bytes.len());
                    assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
                }
            }
        }
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let items = [Argument::Number(0); ITEMS + 3];
        assert_eq!(value(&[("a", Argument::List(&items))])["a"][ITEMS], "\\{+3 items}");
        let value = value(&[("a", Argument::Number(0)); ITEMS + 2]);
        assert_eq!(value["\\{+}"], 2);
    }
}
