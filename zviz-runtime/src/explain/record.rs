//! What is kept of explained runs: the newest few, in the state root, for their owner alone.

use super::Tally;
use crate::container::{Id, time};
use crate::plan::Plan;
use crate::store::Store;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use zviz_broker::audit::text::Text;

/// Below the state root, under a name that is no id.
const FOLDER: &str = ".explained";
/// Runs that are kept.
const MOST: usize = 16;
/// The longest record that is read: every string of a denial is bounded, and so is their number.
const LONGEST: u64 = 16 << 20;

/// What a run was denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The sandbox's name.
    pub id: String,
    /// When it ended, in the form of RFC 3339; absent where it may run still.
    pub ended: Option<String>,
    /// Under which profile.
    pub profile: String,
    /// Its first word.
    program: String,
    /// What.
    #[serde(flatten)]
    pub tally: Tally,
}

impl Record {
    /// Of a run that has just ended.
    #[must_use]
    pub fn new(id: &str, plan: &Plan, tally: Tally) -> Record {
        Record {
            id: id.to_owned(),
            ended: Some(time::now_seconds()),
            profile: plan.profile.name.clone(),
            program: plan.process.args.first().cloned().unwrap_or_default(),
            tally,
        }
    }

    /// What ran, fit to be shown.
    #[must_use]
    pub fn program(&self) -> String {
        Text::new(self.program.as_bytes(), 64).to_string()
    }

    /// Keeps it, and lets the oldest go.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep(&self, store: &Store) -> io::Result<()> {
        let folder = store.path().join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let fresh = folder.join(format!(".{}.new", std::process::id()));
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        let written = serde_json::to_vec(self).map_err(io::Error::other).and_then(|text| file.write_all(&text));
        written
            .and_then(|()| fs::rename(&fresh, folder.join(&self.id)))
            .inspect_err(|_| drop(fs::remove_file(&fresh)))?;
        let mut kept = kept(&folder)?;
        // Of two at one time either may go.
        kept.sort();
        for (_, path) in kept.iter().rev().skip(MOST) {
            // Another run may have been quicker.
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// That of a run, or of the last one; none if there is none.
    ///
    /// # Errors
    /// Those of the file system, and a record that this version did not write.
    pub fn find(store: &Store, id: Option<&Id>) -> io::Result<Option<Record>> {
        let folder = store.path().join(FOLDER);
        let path = match id {
            Some(id) => Some(folder.join(id.as_str())),
            None => match kept(&folder) {
                Ok(kept) => kept.into_iter().max().map(|(_, path)| path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            },
        };
        let Some(path) = path else { return Ok(None) };
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text)?;
        let named = |error| io::Error::other(format!("{}: {error}", path.display()));
        serde_json::from_slice(&text).map(Some).map_err(named)
    }
}

fn kept(folder: &Path) -> io::Result<Vec<(SystemTime, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        let is_record = entry.file_name().to_str().is_some_and(|name| Id::new(name).is_ok());
        if let Some(written) = entry.metadata().and_then(|about| about.modified()).ok().filter(|_| is_record) {
            found.push((written, entry.path()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Root;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_few_are_kept_and_the_last_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Root::Given(folder.path().into())).unwrap();
        assert_eq!(Record::find(&store, None).unwrap(), None);
        for number in 0..MOST + 4 {
            let record = Record::new(&format!("run-{number}"), &Plan::default(), Tally::default());
            record.keep(&store).unwrap();
            let path = folder.path().join(FOLDER).join(&record.id);
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
            fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(Record::find(&store, None).unwrap().map(|found| found.id), Some(record.id));
        }
        assert_eq!(kept(&folder.path().join(FOLDER)).unwrap().len(), MOST);
        assert_eq!(store.ids().unwrap(), []);
        let id = |name: &str| Id::new(name).unwrap();
        assert_eq!(Record::find(&store, Some(&id("run-1"))).unwrap(), None);
        assert!(Record::find(&store, Some(&id("run-9"))).unwrap().is_some());
    }
}
