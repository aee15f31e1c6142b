//! `selftest --compare`: the same attempts here and in other sandboxes.

use super::{own_door, own_program, part, through};
use crate::cli::selftest::Selftest;
use crate::commands::{Context, Failure, print};
use anyhow::Context as _;
use std::ffi::OsString;
use zviz_selftest::bait::Laid;
use zviz_selftest::compare::{Column, Comparison, is_fair};
use zviz_selftest::peers::{Guest, PEERS, Peer};
use zviz_selftest::{Bait, Group};

/// How many attempts one sandbox is given: firejail takes no more than 128 arguments.
const MOST: usize = 100;

pub fn run(context: &Context, flags: &Selftest, groups: &[Group]) -> Result<u8, Failure> {
    let probes = groups.iter().flat_map(|group| group.probes).filter(|probe| is_fair(probe));
    let names: Vec<String> = probes.map(|probe| probe.name.to_owned()).collect();
    let mut laid = Laid::lay(part(own_program()?, "wait", &Bait::default())?).context("lay out what to reach for")?;
    laid.hand_on()?;
    let ours = through(&laid, names.clone(), |names| own_door(context, &flags.profile, &laid.bait, names))?;
    let about = format!("`zviz run --profile {}`", flags.profile);
    let mut columns = vec![Column { name: "zviz".into(), about, answers: Ok(ours) }];
    for peer in PEERS {
        let answers = in_peer(peer, &laid, &names)?;
        columns.push(Column { name: peer.name.into(), about: peer.about.into(), answers });
    }
    let comparison = Comparison::of(groups, columns);
    let text = match flags.json {
        true => serde_json::to_string_pretty(&comparison).context("print the comparison")? + "\n",
        false => comparison.table(),
    };
    print(&text)?;
    Ok(0)
}

/// The attempts in another sandbox; within, why it cannot be had here.
fn in_peer(peer: &Peer, laid: &Laid, names: &[String]) -> anyhow::Result<Result<Vec<zviz_selftest::Answer>, String>> {
    let mut count = 0;
    let mut guest = |arguments: &[&str], names: &[String]| -> anyhow::Result<Guest> {
        count += 1;
        let words = arguments.iter().map(OsString::from).chain(names.iter().map(OsString::from));
        Ok(Guest {
            program: own_program()?,
            arguments: words.collect(),
            work: laid.work(),
            room: laid.bait.folder.join("room"),
            id: format!("{}-{}-{count}", laid.bait.word, peer.name),
        })
    };
    let trial = guest(&["--version"], &[])?;
    let works = peer.try_out(&trial);
    peer.undo(&trial);
    if let Err(why) = works {
        return Ok(Err(why));
    }
    let bait = serde_json::to_string(&laid.bait)?;
    let mut used = Vec::new();
    let answers = through(laid, names.to_vec(), |names| {
        let some = names.get(..MOST).unwrap_or(names);
        let guest = guest(&["selftest-part", "inside", "--bait", &bait], some)?;
        let command = peer.command(&guest)?;
        used.push(guest);
        Ok(command)
    });
    used.iter().for_each(|guest| peer.undo(guest));
    answers.map(Ok)
}
