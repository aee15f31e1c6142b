//! Where a document goes that somebody asked for beside the output of what runs: `FILE`, `fd:N`, or `-`.

use super::place::Place;
use anyhow::Context as _;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use zviz_runtime::receipt::{Machine, Receipt};
use zviz_runtime::start::Container;

/// A place for a document.
#[derive(Debug)]
pub enum Out {
    /// Standard output.
    Standard,
    /// A descriptor of the caller's.
    Descriptor(OwnedFd),
    /// A file, which is made when there is something to write.
    File(Place),
}

impl Out {
    /// What a flag says. Both are taken at once: its number, or what its name leads to, may be another one's later.
    pub fn of(flag: &str, text: Option<&str>) -> anyhow::Result<Option<Out>> {
        let Some(text) = text else { return Ok(None) };
        let at = || format!("{flag} {text}");
        let out = match text.strip_prefix("fd:") {
            _ if text == "-" => Out::Standard,
            Some(number) => {
                let number: i32 = number.parse().ok().filter(|n| *n >= 0).with_context(at)?;
                Out::Descriptor(zviz_sys::fd::duplicate(number).map_err(io::Error::from).with_context(at)?)
            }
            None if text.is_empty() => anyhow::bail!("{flag}: names no file"),
            None => Out::File(Place::take(Path::new(text), 0o644).context(flag.to_owned())?),
        };
        Ok(Some(out))
    }

    /// Writes a document.
    pub fn write(&self, text: &str) -> io::Result<()> {
        match self {
            Out::Standard => super::print(text),
            Out::Descriptor(fd) => Ok(zviz_sys::fd::write_all(fd.as_fd(), text.as_bytes())?),
            Out::File(place) => place.write(text),
        }
    }

    /// Writes the receipt of a container.
    pub fn receipt(&self, container: &Container) -> anyhow::Result<()> {
        let machine = Machine::look()?;
        let receipt = Receipt::of(&container.state, &machine).context("init has not reported what is in force")?;
        self.write(&receipt.to_json()?).context("--receipt")
    }
}
