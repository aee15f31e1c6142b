//! The log that callers read: containerd and Docker take the last error line of `--log` as the reason of a failure.

use crate::cli::{Global, LogFormat};
use serde::Serialize;
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zviz_runtime::container::time;

/// How bad it is: the words are logrus'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What is being done; only with `--debug`.
    Debug,
    /// It goes on, weaker or dirtier than asked.
    Warning,
    /// It does not go on.
    Error,
}

/// Where lines go.
#[derive(Debug)]
pub struct Log {
    /// None for standard error.
    file: Option<File>,
    format: LogFormat,
    /// Whether a format was asked for, so that standard error gets log lines instead of words for a reader.
    formatted: bool,
    debug: bool,
    /// The first line that could not be written was reported.
    broken: Cell<bool>,
}

#[derive(Serialize)]
struct Line<'a> {
    level: Level,
    msg: &'a str,
    time: &'a str,
}

impl Log {
    /// Opens the file, if there is one.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(global: &Global) -> io::Result<Self> {
        let path =
            global.log.as_deref().filter(|path| !path.as_os_str().is_empty() && *path != Path::new("/dev/stderr"));
        let open = |path| OpenOptions::new().create(true).append(true).mode(0o644).open(path);
        let formatted = global.log.is_some() || global.log_format == LogFormat::Json || global.debug;
        let file = path.map(open).transpose()?;
        Ok(Self { file, format: global.log_format, formatted, debug: global.debug, broken: Cell::new(false) })
    }

    /// What is being done, for `--debug`.
    pub fn debug(&self, message: impl FnOnce() -> String) {
        if self.debug {
            self.line(Level::Debug, &message());
        }
    }

    /// Something that the caller should know but that does not stop us.
    pub fn warn(&self, message: &str) {
        if self.file.is_none() && !self.formatted {
            tell(&format!("zviz: warning: {message}\n"));
        } else {
            self.line(Level::Warning, message);
        }
    }

    /// The one error of this run. A reader at a terminal sees it too when the log is a file.
    pub fn error(&self, message: &str) {
        if self.file.is_some() || self.formatted {
            self.line(Level::Error, message);
        }
        if self.file.is_some() || !self.formatted {
            tell(&format!("zviz: error: {message}\n"));
        }
    }

    /// One write for one line: appended whole, though others append too.
    fn line(&self, level: Level, message: &str) {
        let line = render(self.format, level, message, &time::now_seconds());
        let written = match self.file.as_ref() {
            Some(mut file) => file.write_all(line.as_bytes()),
            None => io::stderr().write_all(line.as_bytes()),
        };
        if let (Err(error), false) = (written, self.broken.replace(true)) {
            eprintln!("zviz: write to the log: {error}");
        }
    }
}

/// In one write, so that lines of several programs at one terminal do not mix. If it is closed, there is nobody to tell.
fn tell(line: &str) {
    let _ = io::stderr().write_all(line.as_bytes());
}

fn render(format: LogFormat, level: Level, message: &str, time: &str) -> String {
    let word = match level {
        Level::Debug => "debug",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    match format {
        // Rust's escapes of a string are those of Go for everything that can stand in a message.
        LogFormat::Text => format!("time={time:?} level={word} msg={message:?}\n"),
        LogFormat::Json => match serde_json::to_string(&Line { level, msg: message, time }) {
            Ok(line) => line + "\n",
            // Three strings cannot fail to be JSON.
            Err(error) => format!("{error}\n"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_runc_writes_them() {
        let json = render(LogFormat::Json, Level::Error, "exec: \"x\": not found", "2026-11-21T00:38:15Z");
        assert_eq!(
            json,
            "{\"level\":\"error\",\"msg\":\"exec: \\\"x\\\": not found\",\"time\":\"2026-11-21T00:38:15Z\"}\n"
        );
        let text = render(LogFormat::Text, Level::Warning, "a\nb", "2026-11-21T00:38:15Z");
        assert_eq!(text, "time=\"2026-11-21T00:38:15Z\" level=warning msg=\"a\\nb\"\n");
    }

    #[test]
    fn a_line_is_one_line_whatever_the_message_holds() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let line = render(format, Level::Error, "a\r\nb\u{1b}[31m\0", "t");
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(!line.contains('\u{1b}'), "{line:?}");
        }
    }
}
