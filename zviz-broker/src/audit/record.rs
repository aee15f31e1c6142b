//! An event as bytes: a line of JSON, or an entry of journald.

use super::event::Event;
use super::{journal, time};
use serde::Serialize;

/// How a sink wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A line, with its end.
    Json,
    /// A datagram, whose message is the JSON without a line's end.
    Journal,
}

#[derive(Serialize)]
struct Timed<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl Format {
    /// The event, as of now.
    pub(super) fn encode(self, event: &Event<'_>) -> Vec<u8> {
        let mut json = Vec::with_capacity(512);
        // Memory does not fail to be written to, and no part of an event refuses to be serialized.
        if serde_json::to_writer(&mut json, &Timed { time: time::now(), event }).is_err() {
            json = b"{}".to_vec();
        }
        match self {
            Format::Json => json.push(b'\n'),
            Format::Journal => json = journal::entry(event, &json),
        }
        // It waits in a queue that is bounded by what is used.
        json.shrink_to_fit();
        json
    }
}
