//! Changes as text: lists, unified differences, JSON.

use crate::change::{Change, Did, Kind};
use crate::judge::Judged;
use crate::{Error, Opened, at, escape};
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Duration;

/// Larger files are said to differ.
const TEXT_MAX: u64 = 1 << 20;
/// Then a coarser difference is shown: two files can be made that take very long to compare.
const PATIENCE: Duration = Duration::from_millis(500);

/// One line on a change: a letter for what was done, the path, and what stands against it.
pub fn line(judged: &Judged) -> String {
    let Judged { change, refused, conflict, trust } = judged;
    let letter = match change.did {
        Did::Made => 'A',
        Did::Changed => 'M',
        Did::Permissions => 'P',
        Did::Replaced => 'T',
        Did::Deleted => 'D',
    };
    let mut text = format!("{letter} {}", escape::name(&change.path));
    if change.kind == Kind::Folder {
        text.push('/');
    }
    if let Some(target) = &change.target {
        let _ = write!(text, " -> {}", escape::name(target));
    }
    let old = change.host.as_ref().map(|host| host.mode & 0o7777);
    if let (Did::Permissions | Did::Changed, Some(old), true) = (change.did, old, change.kind != Kind::Link)
        && old != change.mode
    {
        let _ = write!(text, "  mode {old:04o} -> {:04o}", change.mode);
    }
    for (word, why) in [("refused", refused), ("conflict", conflict), ("needs trust", trust)] {
        if let Some(why) = why {
            let _ = write!(text, "  [{word}: {why}]");
        }
    }
    text
}

/// A change for programs. A path that is no UTF-8 is escaped, and its bytes are given in base 16.
pub fn value(judged: &Judged) -> Value {
    let Judged { change, refused, conflict, trust } = judged;
    let mut value = json!({
        "path": text(&change.path),
        "did": change.did,
        "kind": change.kind,
        "mode": format!("{:04o}", change.mode),
        "size": change.size,
    });
    if std::str::from_utf8(&change.path).is_err() {
        let base16 = change.path.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        value["path_base16"] = base16.into();
    }
    if let Some(host) = &change.host {
        value["old_mode"] = format!("{:04o}", host.mode & 0o7777).into();
    }
    if let Some(target) = &change.target {
        value["target"] = text(target).into();
    }
    for (key, why) in [("refused", refused), ("conflict", conflict), ("trust", trust)] {
        if let Some(why) = why {
            value[key] = (*why).into();
        }
    }
    value
}

fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| escape::name(bytes), str::to_owned)
}

/// The two texts of a change; none where there is nothing to compare line by line.
enum Content {
    Text(String),
    Other,
}

impl Opened {
    /// The difference in content as `diff -u` writes it. `terminal`: control characters are escaped, so that it cannot be
    /// applied by patch(1).
    ///
    /// # Errors
    /// What cannot be read.
    pub fn unified(&self, change: &Change, terminal: bool) -> Result<String, Error> {
        let named = |source| Error::io(format!("read {}", escape::name(&change.path)), source);
        let content = |side, there: bool| match there {
            true => match read(side, &change.path) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Content::Other),
                other => other.map_err(named),
            },
            false => Ok(Content::Text(String::new())),
        };
        let was_file = change.host.as_ref().is_some_and(|host| host.mode & libc::S_IFMT == libc::S_IFREG);
        let is_file = change.kind == Kind::File && change.did != Did::Deleted;
        if !was_file && !is_file || change.did == Did::Permissions {
            return Ok(String::new());
        }
        let old = content(self.folder.as_fd(), was_file)?;
        let new = content(self.upper.as_fd(), is_file)?;
        let (Content::Text(old), Content::Text(new)) = (old, new) else {
            return Ok(format!("not compared by line: {}\n", escape::name(&change.path)));
        };
        let header = |side: &str, there: bool| match there {
            true => format!("{side}/{}", escape::name(&change.path)),
            false => "/dev/null".to_owned(),
        };
        let difference = similar::TextDiff::configure().timeout(PATIENCE).diff_lines(&old, &new);
        let mut unified = difference.unified_diff();
        let (a, b) = (header("a", was_file), header("b", is_file));
        let text = unified.context_radius(3).header(&a, &b).to_string();
        Ok(if terminal { text.lines().map(|line| escape::line(line) + "\n").collect() } else { text })
    }
}

fn read(dir: impl AsFd, path: &[u8]) -> io::Result<Content> {
    let mut bytes = Vec::new();
    at::file(dir, path)?.take(TEXT_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_MAX || bytes.contains(&0) {
        return Ok(Content::Other);
    }
    Ok(String::from_utf8(bytes).map_or(Content::Other, Content::Text))
}
