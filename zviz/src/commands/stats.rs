//! `stats`: what the rules of a container's network have let through or not.

use super::{Context, print};
use crate::cli::Stats;
use anyhow::Context as _;
use serde::Serialize;
use zviz_runtime::network::{self, Counter};
use zviz_runtime::{Host, exec};

/// As JSON.
#[derive(Debug, Serialize)]
struct Told<'a> {
    id: &'a str,
    rules: &'a [Counter],
}

pub fn run(context: &Context, stats: &Stats) -> anyhow::Result<()> {
    let (_, state) = context.entry(&stats.id)?;
    let init = state.live_init().with_context(|| format!("container not running: {}", state.id))?;
    let way_in = exec::way_in(&state.plan, init.pid, &Host::probe()?).context("look for the payload below init")?;
    let rules = network::counters(&state, way_in)?;
    let text = match stats.json {
        true => serde_json::to_string_pretty(&Told { id: state.id.as_str(), rules: &rules })? + "\n",
        false => table(&rules),
    };
    Ok(print(&text)?)
}

/// One line a rule, in the order in which they decide.
fn table(rules: &[Counter]) -> String {
    let mut lines = vec![["RULE".to_owned(), "PACKETS".to_owned(), "BYTES".to_owned()]];
    lines.extend(rules.iter().map(|one| [one.rule.clone(), one.packets.to_string(), one.bytes.to_string()]));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let (rule, packets, bytes) = (width(0), width(1), width(2));
    let line = |[a, b, c]: &[String; 3]| format!("{a:<rule$}  {b:>packets$}  {c:>bytes$}\n");
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let of = |rule: &str, packets, bytes| Counter { rule: rule.into(), packets, bytes };
        let rules = [of("established", 1200, 90_000), of("network.egress.allow[0]", 3, 180)];
        let expected = "RULE                     PACKETS  BYTES\n\
                        established                 1200  90000\n\
                        network.egress.allow[0]        3    180\n";
        assert_eq!(table(&rules), expected);
        assert_eq!(table(&[]), "RULE  PACKETS  BYTES\n");
    }
}
