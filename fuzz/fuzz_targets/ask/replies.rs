//! A client's bytes: in whatever pieces they come, they are the same replies, up to the same fault.

use zviz_broker::ask::{Incoming, LINE, Reply, parse};

/// All replies of a client that says this, and whether it is still listened to at the end.
fn replies<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Reply>, bool) {
    let (mut incoming, mut all) = (Incoming::default(), Vec::new());
    for piece in pieces {
        match incoming.take(piece) {
            Some(replies) => all.extend(replies),
            None => return (all, false),
        }
    }
    (all, true)
}

pub fn check(data: &[u8]) {
    let single = replies(data.chunks(1));
    let whole = replies(std::iter::once(data));
    // What came in one piece with a fault is not taken at all.
    assert_eq!(single.1, whole.1);
    if single.1 {
        assert_eq!(single.0, whole.0);
    }
    for (line, reply) in data.split(|byte| *byte == b'\n').zip(&single.0) {
        assert!(line.len() < LINE);
        assert_eq!(parse(line).as_ref(), Some(reply));
    }
}
