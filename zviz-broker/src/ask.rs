//! The protocol by which somebody outside decides about a call that is held: one line of JSON each way, over a stream.
//! docs/ask.md describes it.
//!
//! ```text
//! broker ── {"id":1,"container":"c","pid":7,"syscall":"openat","arguments":{...},"rule":"files.rules[0]"} ──► client
//!        ◄── {"id":1,"verdict":"allow"} or {"id":1,"verdict":"deny","errno":"EPERM"} ───────────────────────
//! ```

use crate::audit;
use crate::policy::files::Reason;
use nix::errno::Errno;
use serde::Deserialize;

/// The longest line of a client, in bytes, its end included.
pub const LINE: usize = 4096;

/// What a client says to one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The question's.
    pub id: u64,
    /// Whether the call proceeds, and what it fails with otherwise, if the client says that.
    pub verdict: Result<(), Option<Errno>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: u64,
    verdict: Word,
    #[serde(default)]
    errno: Option<Reason>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Allow,
    Deny,
}

/// A question, as a line with its end.
#[must_use]
pub fn question(ask: &audit::Ask<'_>) -> Vec<u8> {
    // Memory does not fail to be written to.
    let mut line = serde_json::to_vec(ask).unwrap_or_default();
    line.push(b'\n');
    line
}

/// A client's line, without its end. None if it is not one: an allowance with an errno is none either.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Reply> {
    let Line { id, verdict, errno } = serde_json::from_slice(line).ok()?;
    let verdict = match (verdict, errno) {
        (Word::Allow, None) => Ok(()),
        (Word::Allow, Some(_)) => return None,
        (Word::Deny, errno) => Err(errno.map(Errno::from)),
    };
    Some(Reply { id, verdict })
}

/// What has come of a client's lines so far.
#[derive(Debug, Default)]
pub struct Incoming(Vec<u8>);

impl Incoming {
    /// Takes what was read, and gives the lines that are whole now. None if the client does not keep to the protocol: it is
    /// not to be listened to any more.
    pub fn take(&mut self, bytes: &[u8]) -> Option<Vec<Reply>> {
        let mut replies = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                replies.push(parse(&self.0)?);
                self.0.clear();
            } else if self.0.len() + 1 < LINE {
                self.0.push(*byte);
            } else {
                return None;
            }
        }
        Some(replies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_or_refused() {
        let reply = |id, verdict| Some(Reply { id, verdict });
        for (line, expected) in [
            (r#"{"id":1,"verdict":"allow"}"#, reply(1, Ok(()))),
            (r#" { "verdict" : "deny", "id" : 2 } "#, reply(2, Err(None))),
            (
                r#"{"id":18446744073709551615,"verdict":"deny","errno":"ENOENT"}"#,
                reply(u64::MAX, Err(Some(Errno::ENOENT))),
            ),
            (r#"{"id":1,"verdict":"allow","errno":"EPERM"}"#, None),
            (r#"{"id":1,"verdict":"maybe"}"#, None),
            (r#"{"id":-1,"verdict":"allow"}"#, None),
            (r#"{"id":1}"#, None),
            (r#"{"id":1,"id":2,"verdict":"allow"}"#, None),
            (r#"{"id":1,"verdict":"deny","errno":"ENOTHING"}"#, None),
            (r#"{"id":1,"verdict":"allow"} x"#, None),
            ("", None),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn lines_come_in_any_pieces_and_are_bounded() {
        let mut incoming = Incoming::default();
        let text = b"{\"id\":1,\"verdict\":\"allow\"}\n{\"id\":2,\"verdict\":\"deny\"}\n";
        let ids: Vec<u64> =
            text.iter().flat_map(|byte| incoming.take(&[*byte]).unwrap()).map(|reply| reply.id).collect();
        assert_eq!(ids, [1, 2]);
        assert_eq!(incoming.take(&[b' '; LINE]), None);
        assert_eq!(Incoming::default().take(b"\n"), None);
    }
}
