//! `list`: all containers of the root.

use super::{Context, print};
use crate::cli::{Format, List};
use nix::sys::stat::fstat;
use std::collections::HashMap;
use std::fmt::Write;
use zviz_runtime::container::{Report, State, Status};
use zviz_runtime::store::{Error, Store};

pub fn run(context: &Context, list: &List) -> anyhow::Result<()> {
    let store = match context.existing_store()? {
        Some(store) => store,
        // A root that was named is expected to be there; as with runc.
        None if context.global.root.is_some() => {
            let path = context.global.root.clone().unwrap_or_default();
            anyhow::bail!("state root {}: no such file or directory", path.display());
        }
        None => return Ok(print(&render(list, &[])?)?),
    };
    let found = containers(context, &store)?;
    let reports: Vec<Report> = found.iter().map(|one| one.state.report(one.status, one.owner.clone())).collect();
    Ok(print(&render(list, &reports)?)?)
}

struct Container {
    state: State,
    status: Status,
    owner: String,
}

/// A container that cannot be read does not hide the others; one that is deleted meanwhile was never there.
fn containers(context: &Context, store: &Store) -> anyhow::Result<Vec<Container>> {
    let names = user_names();
    let mut found = Vec::new();
    for id in store.ids()? {
        let one = store.entry(&id).and_then(|entry| entry.load().map(|state| (entry, state)));
        let (entry, state) = match one {
            Ok(one) => one,
            Err(Error::Absent(_)) => continue,
            Err(error) => {
                context.log.warn(&format!("{:#}", anyhow::Error::from(error)));
                continue;
            }
        };
        let uid = fstat(entry.dir())?.st_uid;
        let owner = names.get(&uid).cloned().unwrap_or_else(|| format!("#{uid}"));
        found.push(Container { status: entry.status(&state)?, state, owner });
    }
    Ok(found)
}

/// From /etc/passwd: a static program cannot ask the name service, and must not load its plugins.
fn user_names() -> HashMap<u32, String> {
    let text = std::fs::read("/etc/passwd").unwrap_or_default();
    parse_passwd(&String::from_utf8_lossy(&text))
}

fn parse_passwd(text: &str) -> HashMap<u32, String> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        Some((uid, name.to_owned()))
    };
    // The first line of an id counts.
    text.lines().rev().filter_map(entry).collect()
}

fn render(list: &List, reports: &[Report]) -> anyhow::Result<String> {
    if list.quiet {
        return Ok(reports.iter().map(|report| format!("{}\n", report.id)).collect());
    }
    match list.format {
        Format::Table => Ok(table(reports)),
        // An empty list is null in runc, which Go programs read as one; [] is one for everybody.
        Format::Json => Ok(serde_json::to_string(reports)? + "\n"),
    }
}

/// Columns as runc has them: at least 12 wide, three spaces between; the last one is not filled up.
fn table(reports: &[Report]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let row = |report: &Report| {
        let (pid, status) = (report.pid.to_string(), report.status.to_string());
        [report.id.into(), pid, status, report.bundle.into(), report.created.into(), report.owner.clone()]
    };
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(reports.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(12);
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{cell:<width$}");
        }
        text.push_str(&row[5]);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_table_is_runcs() {
        let annotations = BTreeMap::new();
        let report = Report {
            oci_version: "1.2.0",
            id: "a-long-container-name",
            pid: 42,
            status: Status::Running,
            bundle: "/b",
            rootfs: "/b/rootfs",
            created: "2026-11-21T00:38:15Z",
            annotations: &annotations,
            owner: "root".into(),
            ended: None,
            receipt: None,
        };
        assert_eq!(
            table(&[report]),
            "ID                      PID         STATUS      BUNDLE      CREATED                OWNER\n\
             a-long-container-name   42          running     /b          2026-11-21T00:38:15Z   root\n"
        );
        assert_eq!(table(&[]), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    }

    #[test]
    fn names_come_from_the_first_line_of_an_id() {
        let names = parse_passwd("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\nbad\n:x:7:\nme:x:1000:1000::/:\n");
        assert_eq!(names[&0], "root");
        assert_eq!(names[&1000], "me");
        assert_eq!(names.len(), 2);
    }
}
