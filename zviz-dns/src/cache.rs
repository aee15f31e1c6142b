//! Answers that are remembered, so that a question asked again costs nothing outside.

use crate::answer::Found;
use crate::name::Name;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The most answers.
const ENTRIES: usize = 1024;
/// The most bytes of all, by estimate, and of one.
const BYTES: (usize, usize) = (2 << 20, 16 << 10);
/// The longest.
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: HashMap<(Name, u16), Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    found: Rc<Found>,
    until: Instant,
    bytes: usize,
}

impl Cache {
    /// An answer, and how long it lasts.
    pub(crate) fn get(&self, now: Instant, name: &Name, kind: u16) -> Option<(Rc<Found>, Duration)> {
        let entry = self.entries.get(&(name.clone(), kind))?;
        let left = entry.until.saturating_duration_since(now);
        // Less than a second is told as none.
        (left >= Duration::from_secs(1)).then(|| (Rc::clone(&entry.found), left))
    }

    pub(crate) fn put(&mut self, now: Instant, name: Name, kind: u16, found: &Rc<Found>) {
        let lasts = Duration::from_secs(found.seconds.into()).min(LONGEST);
        let bytes = size(found) + name.wire().len();
        if lasts.is_zero() || bytes > BYTES.1 {
            return;
        }
        self.remove(&(name.clone(), kind));
        if self.entries.len() >= ENTRIES || self.bytes + bytes > BYTES.0 {
            self.sweep(now);
        }
        while self.entries.len() >= ENTRIES || self.bytes + bytes > BYTES.0 {
            let Some(first) = self.entries.iter().min_by_key(|(_, entry)| entry.until).map(|(key, _)| key.clone())
            else {
                break;
            };
            self.remove(&first);
        }
        self.bytes += bytes;
        self.entries.insert((name, kind), Entry { found: Rc::clone(found), until: now + lasts, bytes });
    }

    fn sweep(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.until > now);
        self.bytes = self.entries.values().map(|entry| entry.bytes).sum();
    }

    fn remove(&mut self, key: &(Name, u16)) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }
}

/// About how much memory an answer takes: a record's own size, and what it points to, which is not much more than it took
/// in its packet.
fn size(found: &Found) -> usize {
    256 + 160 * (found.names.len() + found.records.len()) + 2 * found.bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::rdata::{A, RData};

    fn found(seconds: u32) -> Rc<Found> {
        let records = vec![RData::A(A { address: 1 })];
        Rc::new(Found { exists: true, names: Vec::new(), records, seconds, bytes: 64 })
    }

    #[test]
    fn an_answer_lasts_as_long_as_it_says() {
        let (mut cache, now, name) = (Cache::default(), Instant::now(), Name::of_text("a").unwrap());
        cache.put(now, name.clone(), 1, &found(10));
        assert_eq!(cache.get(now + Duration::from_secs(4), &name, 1).unwrap().1, Duration::from_secs(6));
        assert!(cache.get(now + Duration::from_secs(10), &name, 1).is_none());
        assert!(cache.get(now, &name, 28).is_none());
        cache.put(now, name.clone(), 28, &found(0));
        assert!(cache.get(now, &name, 28).is_none());
        cache.put(now, name.clone(), 28, &found(u32::MAX));
        assert_eq!(cache.get(now, &name, 28).unwrap().1, LONGEST);
    }

    #[test]
    fn it_is_bounded() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for i in 0..1500 {
            cache.put(now, Name::of_text(&format!("n{i}")).unwrap(), 1, &found(10 + i));
        }
        assert_eq!(cache.entries.len(), ENTRIES);
        assert_eq!(cache.bytes, cache.entries.values().map(|entry| entry.bytes).sum::<usize>());
        assert!(cache.get(now, &Name::of_text("n1499").unwrap(), 1).is_some());
        assert!(cache.get(now, &Name::of_text("n0").unwrap(), 1).is_none());
        let large = vec![RData::A(A { address: 1 }); 64];
        let large = Rc::new(Found { exists: true, names: Vec::new(), records: large, seconds: 100_000, bytes: 1100 });
        for i in 0..1500 {
            cache.put(now, Name::of_text(&format!("l{i}")).unwrap(), 1, &large);
            assert!(cache.bytes <= BYTES.0);
        }
    }
}
