//! Netlink's bytes, read and written. Those of a packet are in them, so nothing that they say is believed. netlink(7).

use nix::libc;

/// Of each message and attribute begins at a multiple of this.
const ALIGNED: usize = 4;

/// Bytes of a message's header.
pub const HEADER: usize = 16;

/// Flags beside an attribute's kind: it holds others, its number is of network byte order.
const KIND: u16 = 0x3fff;

/// An attribute that holds others.
const NESTED: u16 = 0x8000;

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its kind.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// To which request it belongs.
    pub sequence: u32,
    /// What follows its header.
    pub body: &'a [u8],
}

/// The messages in what was received. It ends at the first that is not whole.
#[derive(Debug, Clone, Copy)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header = self.0.first_chunk::<HEADER>()?;
        let length = usize::try_from(u32::from_ne_bytes([header[0], header[1], header[2], header[3]])).ok()?;
        let body = self.0.get(HEADER..length)?;
        let message = Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            body,
        };
        self.0 = self.0.get(length.next_multiple_of(ALIGNED)..).unwrap_or_default();
        Some(message)
    }
}

/// Attributes one after the other: each its kind, without flags, and its value. It ends at the first that is not whole.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let header = self.0.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(ALIGNED)..).unwrap_or_default();
        Some((u16::from_ne_bytes([header[2], header[3]]) & KIND, value))
    }
}

impl<'a> Attributes<'a> {
    /// The value of the first of this kind.
    #[must_use]
    pub fn value(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// Those within the first of this kind.
    #[must_use]
    pub fn within(self, kind: u16) -> Option<Attributes<'a>> {
        self.value(kind).map(Attributes)
    }

    /// A text, without the zero byte at its end. What is not UTF-8 is replaced.
    #[must_use]
    pub fn text(self, kind: u16) -> Option<String> {
        let bytes = self.value(kind)?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// A number of 64 bits, most significant byte first.
    #[must_use]
    pub fn big_u64(self, kind: u16) -> Option<u64> {
        self.value(kind)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// A number of 32 bits, most significant byte first.
    #[must_use]
    pub fn big_u32(self, kind: u16) -> Option<u32> {
        self.value(kind)?.try_into().ok().map(u32::from_be_bytes)
    }
}

/// A message to nfnetlink, as it is written. The values are ours, and short.
#[derive(Debug, Clone)]
pub struct Writing(Vec<u8>);

impl Writing {
    /// Its headers. `kind` has the subsystem in its upper byte; `resource` is the group, where there are groups.
    #[must_use]
    pub fn netfilter(kind: u16, flags: i32, sequence: u32, family: i32, resource: u16) -> Writing {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST).unwrap_or(0);
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        // struct nfgenmsg: family, NFNETLINK_V0, resource.
        bytes.extend([u8::try_from(family).unwrap_or(0), 0]);
        bytes.extend(resource.to_be_bytes());
        Writing(bytes)
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Writing {
        let length = u16::try_from(value.len() + 4).unwrap_or(4);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(ALIGNED), 0);
        self
    }

    /// Adds a text with its zero byte.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Writing {
        let bytes: Vec<u8> = value.bytes().chain([0]).collect();
        self.with(kind, &bytes)
    }

    /// Adds an attribute that holds others.
    #[must_use]
    pub fn holding(self, kind: u16, others: &[u8]) -> Writing {
        self.with(kind | NESTED, others)
    }

    /// Its bytes, with their number.
    #[must_use]
    pub fn bytes(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(0).to_ne_bytes();
        self.0[..4].copy_from_slice(&length);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let written = Writing::netfilter(0x0a01, libc::NLM_F_ACK, 7, 1, 53).text(1, "abc").with(2, &5u64.to_be_bytes());
        let bytes = written.holding(3, &[8, 0, 1, 0, 0, 0, 0, 9]).bytes();
        let message = Messages(&bytes).next().unwrap();
        assert_eq!((message.kind, message.sequence), (0x0a01, 7));
        assert_eq!(message.flags, u16::try_from(libc::NLM_F_ACK | libc::NLM_F_REQUEST).unwrap());
        assert_eq!(message.body[..4], [1, 0, 0, 53]);
        let attributes = Attributes(&message.body[4..]);
        assert_eq!((attributes.text(1).unwrap(), attributes.big_u64(2)), ("abc".to_owned(), Some(5)));
        assert_eq!(attributes.within(3).and_then(|within| within.big_u32(1)), Some(9));
        assert_eq!((attributes.big_u32(2), attributes.value(4)), (None, None));
    }

    #[test]
    fn lengths_that_lie_end_it() {
        for bytes in [&[][..], &[3, 0, 1, 0], &[0, 0, 0, 0], &[9, 0, 1, 0, 1, 2, 3, 4], &[255, 255, 1, 0]] {
            assert_eq!(Attributes(bytes).next(), None, "{bytes:?}");
        }
        // The last one need not be filled up to a multiple of four.
        let mut odd = Attributes(&[5, 0, 1, 0, 42]);
        assert_eq!((odd.next(), odd.next()), (Some((1, &[42][..])), None));
        for length in [0u32, 15, 17, u32::MAX] {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(Messages(&bytes).next(), None, "{length}");
        }
    }
}
