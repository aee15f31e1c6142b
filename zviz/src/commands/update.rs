//! `update`: other limits for a container that is there.

use super::Context;
use crate::cli::Update;
use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::Path;
use zviz_runtime::Host;
use zviz_runtime::apply::cgroup;
use zviz_runtime::container::Status;
use zviz_runtime::plan::cgroup::update;
use zviz_runtime::sandbox::quantity;

/// Larger than any set of limits.
const MAX_SIZE: u64 = 1 << 20;

pub fn run(context: &Context, update: &Update) -> anyhow::Result<()> {
    let asked = asked(update)?;
    let asked = serde_json::from_value(asked).context("the limits are not in the form of linux.resources")?;
    let (locked, mut state) = context.locked(&update.id)?;
    if locked.status(&state)? == Status::Stopped {
        bail!("container not running: {}", update.id);
    }
    let host = Host::probe()?;
    let rootless = context.request(locked.id()).rootless_cgroup.unwrap_or(host.rootless || host.user_namespace);
    let mut notes = Vec::new();
    let update = update::update(&state.plan.cgroup, &asked, &host.cgroup, rootless, &mut notes)?;
    for note in notes {
        context.log.warn(&note.to_string());
    }
    cgroup::update(&update)?;
    state.plan.cgroup = update.cgroup;
    Ok(locked.save(&state)?)
}

/// What is asked for, in the form of `linux.resources`: from a file, else from flags.
fn asked(update: &Update) -> anyhow::Result<Value> {
    if update.l3_cache_schema.is_some() || update.mem_bw_schema.is_some() {
        bail!("--l3-cache-schema, --mem-bw-schema: zviz does not manage Intel RDT");
    }
    match &update.resources {
        Some(path) => read(path).with_context(|| format!("--resources {}", path.display())),
        None => flags(update),
    }
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let mut text = Vec::new();
    match path.to_str() {
        Some("-") => std::io::stdin().lock().take(MAX_SIZE + 1).read_to_end(&mut text)?,
        _ => std::fs::File::open(path)?.take(MAX_SIZE + 1).read_to_end(&mut text)?,
    };
    if text.len() as u64 > MAX_SIZE {
        bail!("larger than {MAX_SIZE} bytes");
    }
    Ok(serde_json::from_slice(&text)?)
}

fn flags(update: &Update) -> anyhow::Result<Value> {
    let mut memory = Map::new();
    for (name, key, value) in [
        ("--memory", "limit", &update.memory),
        ("--memory-reservation", "reservation", &update.memory_reservation),
        ("--memory-swap", "swap", &update.memory_swap),
    ] {
        if let Some(text) = value {
            memory.insert(key.into(), bytes(text).map_err(|what| anyhow::anyhow!("{name} {text}: {what}"))?.into());
        }
    }
    // Without a memory limit there can be no swap limit either.
    if memory.get("limit") == Some(&json!(-1)) && !memory.contains_key("swap") {
        memory.insert("swap".into(), json!(-1));
    }
    let mut cpu = Map::new();
    for (key, value) in [
        ("period", update.cpu_period.map(Value::from)),
        ("quota", update.cpu_quota.map(Value::from)),
        ("burst", update.cpu_burst.map(Value::from)),
        ("shares", update.cpu_share.map(Value::from)),
        ("realtimePeriod", update.cpu_rt_period.map(Value::from)),
        ("realtimeRuntime", update.cpu_rt_runtime.map(Value::from)),
        ("idle", update.cpu_idle.map(Value::from)),
        ("cpus", update.cpuset_cpus.clone().map(Value::from)),
        ("mems", update.cpuset_mems.clone().map(Value::from)),
    ] {
        if let Some(value) = value {
            cpu.insert(key.into(), value);
        }
    }
    let mut resources = Map::new();
    for (key, section) in [("memory", memory), ("cpu", cpu)] {
        if !section.is_empty() {
            resources.insert(key.into(), section.into());
        }
    }
    if update.blkio_weight != 0 {
        resources.insert("blockIO".into(), json!({ "weight": update.blkio_weight }));
    }
    if let Some(limit) = update.pids_limit {
        resources.insert("pids".into(), json!({ "limit": limit }));
    }
    Ok(resources.into())
}

/// -1 for no limit, or a number of bytes with or without a unit.
fn bytes(text: &str) -> Result<i64, String> {
    match text {
        "-1" | "0" => text.parse().map_err(|_| "is not a number".into()),
        _ => quantity::bytes(text).and_then(|bytes| i64::try_from(bytes).map_err(|_| "is too large".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update() -> Update {
        Update { id: "x".into(), ..Update::default() }
    }

    #[test]
    fn flags_become_resources_and_what_is_not_named_stays_out() {
        assert_eq!(flags(&update()).unwrap(), json!({}));
        let some = Update {
            memory: Some("512M".into()),
            memory_swap: Some("-1".into()),
            cpu_quota: Some(-1),
            cpuset_cpus: Some("0-1".into()),
            pids_limit: Some(-1),
            blkio_weight: 100,
            ..update()
        };
        assert_eq!(
            flags(&some).unwrap(),
            json!({
                "memory": {"limit": 536_870_912, "swap": -1},
                "cpu": {"quota": -1, "cpus": "0-1"},
                "blockIO": {"weight": 100},
                "pids": {"limit": -1},
            })
        );
    }

    #[test]
    fn no_memory_limit_is_no_swap_limit() {
        let unlimited = Update { memory: Some("-1".into()), ..update() };
        assert_eq!(flags(&unlimited).unwrap(), json!({"memory": {"limit": -1, "swap": -1}}));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = Update { memory_reservation: Some("much".into()), ..update() };
        assert!(asked(&wrong).unwrap_err().to_string().starts_with("--memory-reservation much: "));
        let absent = Update { resources: Some("/nonexistent".into()), ..update() };
        assert!(format!("{:#}", asked(&absent).unwrap_err()).starts_with("--resources /nonexistent: No such file"));
        assert!(asked(&Update { l3_cache_schema: Some("x".into()), ..update() }).is_err());
    }
}
