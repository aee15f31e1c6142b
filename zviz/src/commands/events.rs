//! `events`: statistics now and then, and every time that the kernel kills for want of memory.

use super::{Context, print};
use crate::cli::Events;
use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_runtime::apply::cgroup::oom::{self, Watch};
use zviz_runtime::apply::cgroup::stats::{self, Stats};
use zviz_runtime::apply::cgroup::{self};
use zviz_runtime::container::State;
use zviz_runtime::sandbox::quantity;

/// One line.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Stats>,
}

pub fn run(context: &Context, events: &Events) -> anyhow::Result<()> {
    let interval = quantity::duration(&events.interval)
        .map_err(|what| anyhow::anyhow!("--interval {}: {what}", events.interval))?;
    let (_, state) = context.entry(&events.id)?;
    let Some(init) = state.init.map(|init| init.open().context("open the container's init")).transpose()?.flatten()
    else {
        bail!("container with id {} is not running", events.id);
    };
    if events.stats {
        return print_stats(&state);
    }
    let mut watch = match Watch::open(&state.plan.cgroup) {
        Ok(watch) => Some(watch),
        Err(cgroup::Error::None(_)) => {
            context.log.warn(&format!("container {}: there is no memory controller to tell of kills", events.id));
            None
        }
        Err(error) => return Err(error.into()),
    };
    follow(context, &state, &init, watch.as_mut(), interval)
}

/// Until the container ends.
fn follow(
    context: &Context,
    state: &State,
    init: &OwnedFd,
    mut watch: Option<&mut Watch>,
    interval: Duration,
) -> anyhow::Result<()> {
    let mut next = Instant::now() + interval;
    loop {
        let [ended, told] = wait(init, watch.as_deref(), next).context("poll")?;
        if let Some(watch) = watch.as_mut().filter(|_| told) {
            for event in watch.take()? {
                match event {
                    oom::Event::Oom => print_event(&Event { kind: "oom", id: state.id.as_str(), data: None })?,
                    oom::Event::Empty => return Ok(()),
                }
            }
        }
        if ended {
            return Ok(());
        }
        if next <= Instant::now() {
            // It may be ending at this very moment, which the next turn sees.
            if let Err(error) = print_stats(state) {
                context.log.warn(&format!("{error:#}"));
            }
            next = Instant::now() + interval;
        }
    }
}

/// Whether init has ended, and whether there is an event; neither if it was only time.
fn wait(init: &OwnedFd, watch: Option<&Watch>, until: Instant) -> Result<[bool; 2], Errno> {
    let mut fds = vec![PollFd::new(init.as_fd(), PollFlags::POLLIN)];
    fds.extend(watch.map(|watch| PollFd::new(watch.as_fd(), PollFlags::POLLIN)));
    // Rounded up, so that the last turn does not spin.
    let left = until.saturating_duration_since(Instant::now()).as_millis().saturating_add(1);
    match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    let is_ready = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
    Ok([is_ready(0), is_ready(1)])
}

fn print_stats(state: &State) -> anyhow::Result<()> {
    let data = Some(stats::stats(&state.plan.cgroup)?);
    print_event(&Event { kind: "stats", id: state.id.as_str(), data })
}

fn print_event(event: &Event) -> anyhow::Result<()> {
    Ok(print(&(serde_json::to_string(event)? + "\n"))?)
}
