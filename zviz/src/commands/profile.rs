//! `profile`: what there is, what is wrong with one, what one can say.

use super::{Failure, print};
use crate::cli::profile::{Profile as Flags, Verb};
use anyhow::anyhow;
use std::fmt::Write;
use zviz_profile::schema::{Does, leaves};
use zviz_runtime::profile::find::Search;
use zviz_runtime::profile::lower::{Context, lower};

pub fn run(flags: &Flags) -> Result<u8, Failure> {
    let search = Search::of_user();
    match &flags.verb {
        Verb::List => {
            let mut text = String::new();
            for (name, place) in search.list() {
                let about = search.document(&name).map(|document| document.description.unwrap_or_default());
                let about = about.unwrap_or_else(|_| "has faults: zviz profile check says which".to_owned());
                let _ = writeln!(text, "{name:20} {place:12} {about}");
            }
            print(&text)?;
        }
        Verb::Show(named) => print(&search.text(&named.profile).map_err(|why| anyhow!(why))?.text)?,
        Verb::Check(several) => return check(&search, &several.profiles),
        Verb::Schema => {
            print(&(serde_json::to_string_pretty(&zviz_profile::json_schema()).map_err(anyhow::Error::from)? + "\n"))?;
        }
        Verb::Keys => print(&keys())?,
    }
    Ok(0)
}

/// Faults go where errors go, notes to standard output.
fn check(search: &Search, profiles: &[String]) -> Result<u8, Failure> {
    let context = Context { home: Some("/home".to_owned()) };
    let (mut faults, mut notes) = (Vec::new(), String::new());
    for name in profiles {
        let lowered =
            search.document(name).and_then(|document| lower(&document, &context).map_err(|faults| faults.to_string()));
        match lowered {
            Ok(profile) => notes.extend(profile.notes.iter().map(|note| format!("note: {note}\n"))),
            Err(what) => faults.push(what),
        }
    }
    print(&notes)?;
    if faults.is_empty() { Ok(0) } else { Err(anyhow!(faults.join("\n")).into()) }
}

/// The manual's table.
pub fn keys() -> String {
    let mut text = String::from("| Key | What it is for | Enforced by |\n| --- | --- | --- |\n");
    for (path, key) in leaves() {
        let by = match key.does {
            Does::Enforced(by) => by.to_owned(),
            Does::Refused(why) => format!("refused: {why}"),
            Does::Holds | Does::Describes => "-".to_owned(),
        };
        let _ = writeln!(text, "| `{path}` | {}: {} | {by} |", key.about, key.kind.words());
    }
    text
}
