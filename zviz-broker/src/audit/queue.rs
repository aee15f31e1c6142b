//! Records between those who decide and the one who writes. Bounded in bytes; nobody who records waits for room.

use super::event::Event;
use super::record::Format;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many bytes of records wait at most.
pub(super) const LIMIT: usize = 1 << 20;
/// What a record costs beside its bytes: its place here, and the allocator's header.
const OVERHEAD: usize = size_of::<Record>() + 16;
/// How much the writer takes at once: it holds a lock on a file meanwhile.
const TAKE: usize = 64 << 10;

/// What became of the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Given to `Audit::record`.
    pub recorded: u64,
    /// Taken by the sink.
    pub written: u64,
    /// The others.
    pub dropped: u64,
}

/// One record, encoded.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) bytes: Vec<u8>,
    /// For one that says that records were dropped: how many.
    reports: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    format: Format,
    broker: u32,
    /// To the writer: there is a record, or the end.
    arrived: Condvar,
    /// To `finish`: all is written.
    drained: Condvar,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Record>,
    /// Of the records, and of those that the writer has taken.
    bytes: usize,
    /// It was full, and is not half empty yet: room for one record at a time would give a `dropped` record for each.
    full: bool,
    /// Dropped since the last `dropped` record.
    unreported: u64,
    /// Whether the writer holds records.
    taken: bool,
    /// No more records come.
    closed: bool,
    /// Nobody waits for what is left.
    abandoned: bool,
    totals: Totals,
}

impl Queue {
    pub(super) fn new(format: Format, broker: u32) -> Queue {
        let (arrived, drained) = (Condvar::new(), Condvar::new());
        Queue { state: Mutex::default(), format, broker, arrived, drained }
    }

    /// Whether there is room. If not, that record is counted as dropped and need not be encoded.
    pub(super) fn admits(&self) -> bool {
        let mut state = self.lock();
        state.full = state.full && state.bytes > LIMIT / 2;
        if state.full || state.closed {
            state.drop_one();
        }
        !(state.full || state.closed)
    }

    /// Takes an encoded record, or counts it.
    pub(super) fn push(&self, bytes: Vec<u8>) {
        let mut state = self.lock();
        if state.closed || state.full || state.bytes + bytes.len() + OVERHEAD > LIMIT {
            state.full = true;
            return state.drop_one();
        }
        state.totals.recorded += 1;
        // Here, where they are missing.
        self.report(&mut state);
        state.put(Record { bytes, reports: None });
        self.arrived.notify_one();
    }

    /// For the writer: waits for records and takes some. Nothing: that was all.
    pub(super) fn take(&self) -> Option<VecDeque<Record>> {
        let mut state = self.lock();
        loop {
            if state.abandoned {
                return None;
            }
            if state.records.is_empty() {
                self.report(&mut state);
            }
            let mut bytes = 0;
            let within = |r: &&Record| {
                bytes += r.bytes.len();
                bytes <= TAKE
            };
            let some = state.records.iter().take_while(within).count().max(1).min(state.records.len());
            if some > 0 {
                state.taken = true;
                return Some(state.records.drain(..some).collect());
            }
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// For the writer: the sink has taken this one.
    pub(super) fn written(&self, record: &Record) {
        let mut state = self.lock();
        state.free(record);
        state.totals.written += u64::from(record.reports.is_none());
    }

    /// For the writer: the sink will never take this one, as it is.
    pub(super) fn refused(&self, record: &Record) {
        let mut state = self.lock();
        state.free(record);
        // One that reports is not reported again: it would be refused again.
        let lost = u64::from(record.reports.is_none());
        state.totals.dropped += lost;
        state.unreported += lost;
    }

    /// For the writer: gives back what it could not write, and waits for a while unless there is an end to wait for.
    pub(super) fn give_back(&self, mut left: VecDeque<Record>, pause: Duration) {
        let mut state = self.lock();
        state.taken = false;
        if state.abandoned {
            return;
        }
        if left.is_empty() {
            if state.records.is_empty() && state.unreported == 0 {
                self.drained.notify_all();
            }
            return;
        }
        left.append(&mut state.records);
        state.records = left;
        let until = Instant::now() + pause;
        while !state.closed
            && let Some(wait) = until.checked_duration_since(Instant::now())
        {
            state = self.arrived.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.closed && !state.abandoned {
            let _ = self.arrived.wait_timeout(state, pause.min(Duration::from_millis(10)));
        }
    }

    /// Takes no more, and waits at most so long until all is written.
    pub(super) fn finish(&self, patience: Duration) -> Totals {
        let deadline = Instant::now().checked_add(patience);
        let mut state = self.lock();
        state.closed = true;
        self.arrived.notify_one();
        while state.taken || !state.records.is_empty() || state.unreported > 0 {
            let left = deadline.map_or(patience, |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            state = self.drained.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.abandoned = true;
        state.records.clear();
        self.arrived.notify_one();
        state.totals.dropped = state.totals.recorded - state.totals.written;
        state.totals
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a `dropped` record where something was dropped.
    fn report(&self, state: &mut State) {
        if state.unreported > 0 {
            let records = std::mem::take(&mut state.unreported);
            let bytes = self.format.encode(&Event::Dropped { records, broker: self.broker });
            state.put(Record { bytes, reports: Some(records) });
        }
    }
}

impl State {
    fn put(&mut self, record: Record) {
        self.bytes += record.bytes.len() + OVERHEAD;
        self.records.push_back(record);
    }

    fn free(&mut self, record: &Record) {
        self.bytes = self.bytes.saturating_sub(record.bytes.len() + OVERHEAD);
    }

    fn drop_one(&mut self) {
        self.totals.recorded += 1;
        self.totals.dropped += 1;
        self.unreported += u64::from(!self.closed);
    }
}
