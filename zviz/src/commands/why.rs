//! `why`: what was denied in a run, and what would allow it.

use super::{Context, print};
use crate::cli;
use zviz_runtime::container::Id;
use zviz_runtime::explain::{Record, left, telling};
use zviz_runtime::store::Store;

/// How one comes to know.
const HOW: &str = "zviz run --explain -- COMMAND says why something is denied, and is remembered for zviz why";

pub fn run(context: &Context, flags: &cli::Why) -> anyhow::Result<()> {
    let id = flags.id.as_deref().map(Id::new).transpose()?;
    let Some(store) = context.existing_store()? else { anyhow::bail!("nothing was run here yet: {HOW}") };
    let record = match (Record::find(&store, id.as_ref())?, &id) {
        (Some(record), _) => record,
        (None, Some(id)) => of_container(context, &store, id)?,
        (None, None) => anyhow::bail!("no run was explained: {HOW}"),
    };
    if flags.json {
        return Ok(print(&(serde_json::to_string_pretty(&record)? + "\n"))?);
    }
    let Record { id, ended, profile, .. } = &record;
    let program = record.program();
    let when = ended.as_ref().map_or("runs".to_owned(), |ended| format!("ended at {ended}"));
    let what = match record.tally.denials.is_empty() {
        true => "nothing was denied\n".to_owned(),
        false => telling::all(&record.tally),
    };
    Ok(print(&format!("{id} ({program}, profile {profile}) {when}\n{what}"))?)
}

/// What is known of a container that is there still, without having been explained.
fn of_container(context: &Context, store: &Store, id: &Id) -> anyhow::Result<Record> {
    if !store.ids()?.contains(id) {
        anyhow::bail!("{id} was not explained, and is not there: {HOW}");
    }
    let (_, state) = context.entry(id.as_str())?;
    Ok(left::of(&state)?)
}
