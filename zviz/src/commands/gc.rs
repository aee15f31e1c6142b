//! `gc`: what the dead have left.

use super::{Context, print};
use crate::cli::Gc;
use std::fmt::Write;
use zviz_runtime::gc;

pub fn run(context: &Context, flags: &Gc) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    let (mut text, mut failed) = (String::new(), 0);
    // Only root has a bridge.
    let with_network = nix::unistd::geteuid().is_root();
    let did = if flags.dry_run { "would remove" } else { "removed" };
    gc::collect(store.as_ref(), with_network, flags.dry_run, &mut |left, error| match error {
        None => drop(writeln!(text, "{did} {left}")),
        Some(error) => {
            failed += 1;
            let causes = anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
            context.log.warn(&format!("{left}: {causes}"));
        }
    })?;
    print(&text)?;
    match failed {
        0 => Ok(()),
        count => anyhow::bail!("{count} things could not be removed"),
    }
}
