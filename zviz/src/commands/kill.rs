//! `kill`: a signal to a container.

use super::Context;
use crate::cli::Kill;
use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use zviz_runtime::teardown::{self, Error};

pub fn run(context: &Context, kill: &Kill) -> anyhow::Result<()> {
    let signal = number(&kill.signal)?;
    let (_, state) = context.entry(&kill.id)?;
    if !kill.all {
        return Ok(teardown::signal(&state, signal)?);
    }
    // As runc: whoever wants none of them to live is not told that there was none.
    match teardown::signal_all(&state, signal) {
        Err(Error::NotRunning(_)) => Ok(()),
        sent => Ok(sent?),
    }
}

/// A name with or without SIG, in either case, `RTMIN+3`, `RTMAX-1`, or a number from 0, which only asks whether the
/// process is there.
fn number(text: &str) -> anyhow::Result<i32> {
    if let Ok(number) = text.parse::<i32>() {
        if !(0..=libc::SIGRTMAX()).contains(&number) {
            bail!("signal {number}: there are signals 0 to {}", libc::SIGRTMAX());
        }
        return Ok(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Ok(signal) = format!("SIG{name}").parse::<Signal>() {
        return Ok(signal as i32);
    }
    real_time(name).with_context(|| format!("unknown signal {text:?}"))
}

fn real_time(name: &str) -> Option<i32> {
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => first,
        (_, Some("")) => last,
        (Some(more), _) => first.checked_add(more.strip_prefix('+')?.parse().ok()?)?,
        (_, Some(less)) => last.checked_sub(less.strip_prefix('-')?.parse().ok()?)?,
        _ => return None,
    };
    (first..=last).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, want) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            ("kill", 9),
            ("9", 9),
            ("0", 0),
            ("SIGUSR1", 10),
            ("WINCH", 28),
            ("RTMIN", libc::SIGRTMIN()),
            ("SIGRTMIN+3", libc::SIGRTMIN() + 3),
            ("rtmax-1", libc::SIGRTMAX() - 1),
            ("64", 64),
        ] {
            assert_eq!(number(text).unwrap(), want, "{text}");
        }
        for text in
            ["", "SIG", "FOO", "65", "-1", "-9", "9.5", "RTMIN+40", "RTMIN+-1", "RTMIN-1", "RTMAX+1", "SIGSIGTERM"]
        {
            assert!(number(text).is_err(), "{text}");
        }
        assert_eq!(number("FOO").unwrap_err().to_string(), "unknown signal \"FOO\"");
    }
}
