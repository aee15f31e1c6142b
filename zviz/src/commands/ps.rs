//! `ps`: the processes of a container, by ps(1) of the host.

use super::{Context, print};
use crate::cli::{Format, Ps};
use anyhow::{Context as _, bail};
use std::collections::BTreeSet;
use std::process::Command;
use zviz_runtime::apply::cgroup;

pub fn run(context: &Context, ps: &Ps) -> anyhow::Result<()> {
    let (id, arguments) = ps.id_and_arguments.split_first().context("ps needs the id of a container")?;
    let (_, state) = context.entry(id)?;
    let pids = match cgroup::pids(&state.plan.cgroup) {
        Ok(pids) => pids,
        // A container without a cgroup has at least its first process.
        Err(cgroup::Error::None(_)) => {
            state.live_init().and_then(|init| u32::try_from(init.pid).ok()).into_iter().collect()
        }
        Err(error) => return Err(error.into()),
    };
    let text = match ps.format {
        Format::Json => serde_json::to_string(&pids)? + "\n",
        Format::Table => table(&pids.into_iter().collect(), arguments)?,
    };
    Ok(print(&text)?)
}

fn table(pids: &BTreeSet<u32>, arguments: &[String]) -> anyhow::Result<String> {
    let default = ["-ef".to_owned()];
    let arguments = if arguments.is_empty() { &default } else { arguments };
    let output = Command::new("ps").args(arguments).output().context("run ps")?;
    if !output.status.success() {
        bail!("ps: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    select(&String::from_utf8_lossy(&output.stdout), pids)
}

/// The head, and the lines whose PID is one of these.
fn select(output: &str, pids: &BTreeSet<u32>) -> anyhow::Result<String> {
    let mut lines = output.lines().filter(|line| !line.is_empty());
    let head = lines.next().unwrap_or_default();
    let column =
        head.split_whitespace().position(|title| title == "PID").context("couldn't find PID field in ps output")?;
    let mut text = format!("{head}\n");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        let pid: u32 = pid.with_context(|| format!("ps: no pid in {line:?}"))?;
        if pids.contains(&pid) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_the_pid_column() {
        let output = "UID          PID    PPID CMD\nroot          10       1 sh\nroot          11      10 sleep 10\n\n";
        let pids = BTreeSet::from([11, 12]);
        assert_eq!(select(output, &pids).unwrap(), "UID          PID    PPID CMD\nroot          11      10 sleep 10\n");
        assert!(select("COMMAND\nsh\n", &pids).is_err());
        assert!(select("", &pids).is_err());
        assert!(select("PID\nx\n", &pids).is_err());
    }
}
