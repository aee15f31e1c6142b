//! `stage`: what sandboxes wrote to stages, and what becomes of it; and the stage of a `run --stage`.

use super::{Context, Failure, in_user_namespace, print};
use crate::cli::stage::{Apply, Diff, Revert, Stage as Flags, Verb, Which};
use anyhow::{anyhow, bail};
use nix::unistd::geteuid;
use serde_json::json;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::os::unix::ffi::OsStrExt;
use zviz_stage::keep::Lock;
use zviz_stage::{Change, Did, Error, Judged, Kind, Opened, Stage, Stages, escape, show};

pub fn run(context: &Context, flags: &Flags) -> Result<u8, Failure> {
    let stages = stages()?;
    match &flags.verb {
        Verb::List(list) => self::list(context, &stages, list.json)?,
        Verb::Diff(flags) => diff(&stages, flags)?,
        Verb::Apply(flags) => apply(&stages, flags)?,
        Verb::Revert(flags) => revert(&stages, flags)?,
    }
    Ok(0)
}

fn stages() -> Result<Stages, Error> {
    Stages::of_caller(geteuid().is_root() && !in_user_namespace())
}

fn list(context: &Context, stages: &Stages, as_json: bool) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for stage in stages.list()? {
        match stage {
            Ok(stage) => found.push(stage),
            Err(error) => context.log.warn(&error.to_string()),
        }
    }
    if as_json {
        let value =
            |stage: &Stage| json!({ "name": stage.name, "folder": stage.record.folder, "began": stage.record.began.0 });
        let all: Vec<_> = found.iter().map(value).collect();
        return Ok(print(&(serde_json::to_string_pretty(&all)? + "\n"))?);
    }
    let mut text = String::new();
    for stage in found {
        let _ = writeln!(text, "{:40} {}", stage.name, escape::name(stage.record.folder.as_bytes()));
    }
    Ok(print(&text)?)
}

fn find(stages: &Stages, which: &Which) -> anyhow::Result<Stage> {
    Ok(match &which.name {
        Some(name) => stages.open(name)?,
        None => stages.of_folder(&current_folder()?)?,
    })
}

fn current_folder() -> anyhow::Result<String> {
    let folder = std::env::current_dir().map_err(|error| anyhow!(error).context("current folder"))?;
    folder.into_os_string().into_string().map_err(|_| anyhow!("the path of the current folder is not UTF-8"))
}

/// The bytes of a path below the folder.
fn below(path: &OsString, folder: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = path.as_bytes();
    let inside = |rest: &[u8]| rest.is_empty() || rest.starts_with(b"/");
    let relative = match bytes.strip_prefix(folder.as_bytes()) {
        Some(rest) if bytes.starts_with(b"/") && inside(rest) => rest,
        _ if bytes.starts_with(b"/") => bail!("{} is not below {folder}", escape::name(bytes)),
        _ => bytes,
    };
    let names: Vec<&[u8]> = relative.split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".").collect();
    if names.contains(&b"..".as_slice()) {
        bail!("{}: .. is not followed; name the path from the staged folder", escape::name(bytes));
    }
    Ok(names.join(&b'/'))
}

/// The changes that paths name, with the new folders that they are in.
fn selected(opened: &Opened, which: &Which) -> anyhow::Result<Vec<Judged>> {
    let judged = opened.judge(opened.changes()?)?;
    if which.paths.is_empty() {
        return Ok(judged);
    }
    let mut wanted = Vec::new();
    for path in &which.paths {
        let path = below(path, &opened.stage.record.folder)?;
        if !judged.iter().any(|judged| judged.change.is_within(&path)) {
            return Err(Error::Unchanged(escape::name(&path)).into());
        }
        wanted.push(path);
    }
    let around = |change: &Change, path: &[u8]| {
        let fresh = change.kind == Kind::Folder && matches!(change.did, Did::Made | Did::Replaced);
        fresh && path.strip_prefix(change.path.as_slice()).is_some_and(|rest| rest.starts_with(b"/"))
    };
    let named =
        |judged: &Judged| wanted.iter().any(|path| judged.change.is_within(path) || around(&judged.change, path));
    Ok(judged.into_iter().filter(named).collect())
}

fn diff(stages: &Stages, flags: &Diff) -> anyhow::Result<()> {
    let opened = find(stages, &flags.which)?.opened()?;
    let judged = selected(&opened, &flags.which)?;
    if flags.json {
        let changes: Vec<_> = judged.iter().map(show::value).collect();
        let all = json!({ "stage": opened.stage.name, "folder": opened.stage.record.folder, "changes": changes });
        return Ok(print(&(serde_json::to_string_pretty(&all)? + "\n"))?);
    }
    let terminal = io::stdout().is_terminal();
    for one in &judged {
        print(&(show::line(one) + "\n"))?;
        if !flags.stat {
            print(&opened.unified(&one.change, terminal)?)?;
        }
    }
    if flags.stat {
        let count = |did: &[Did]| judged.iter().filter(|one| did.contains(&one.change.did)).count();
        let (made, deleted) = (count(&[Did::Made]), count(&[Did::Deleted]));
        print(&format!("{made} made, {} changed, {deleted} deleted\n", judged.len() - made - deleted))?;
    }
    Ok(())
}

fn apply(stages: &Stages, flags: &Apply) -> anyhow::Result<()> {
    let stage = find(stages, &flags.which)?;
    let lock = stages.lock(&stage.name)?;
    let mut opened = stages.open(&stage.name)?.opened()?;
    let judged = selected(&opened, &flags.which)?;
    let of = |why: &dyn Fn(&Judged) -> Option<&'static str>| -> String {
        let lines = judged.iter().filter_map(|one| Some((escape::name(&one.change.path), why(one)?)));
        lines.map(|(path, why)| format!("\n  {path}: {why}")).collect()
    };
    let refused = of(&|one| one.refused);
    if !refused.is_empty() {
        bail!("nothing is applied, since some of it never is (revert it, or name what to apply):{refused}");
    }
    let conflicts = of(&|one| one.conflict);
    if !conflicts.is_empty() && !flags.force {
        bail!("nothing is applied, since the folder has changed (--force applies it over that):{conflicts}");
    }
    let trusted = of(&|one| one.trust);
    if !trusted.is_empty() && !flags.trust && !agreed(&trusted)? {
        bail!(
            "nothing is applied, since other programs obey some of it (--trust applies it, or name what to apply):{trusted}"
        );
    }
    let count = opened.apply(&judged)?;
    let rest = opened.changes()?.len();
    if rest == 0 {
        opened.stage.remove(lock)?;
        return Ok(print(&format!("{count} applied\n"))?);
    }
    Ok(print(&format!("{count} applied, {rest} left in the stage\n"))?)
}

/// Asks whoever sits at the terminal, if somebody does.
fn agreed(trusted: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    eprint!("other programs obey these, with your rights:{trusted}\napply them, too? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn revert(stages: &Stages, flags: &Revert) -> anyhow::Result<()> {
    let stage = find(stages, &flags.which)?;
    let lock = stages.lock(&stage.name)?;
    let stage = stages.open(&stage.name)?;
    if flags.which.paths.is_empty() {
        return Ok(stage.remove(lock)?);
    }
    let opened = stage.opened()?;
    let folder = opened.stage.record.folder.clone();
    let paths: Vec<_> = flags.which.paths.iter().map(|path| below(path, &folder)).collect::<Result<_, _>>()?;
    if paths.iter().any(Vec::is_empty) {
        return Ok(opened.stage.remove(lock)?);
    }
    for path in paths {
        opened.revert(&path)?;
    }
    if opened.changes()?.is_empty() {
        opened.stage.remove(lock)?;
    }
    Ok(())
}

/// The stage of a run, held as long as it goes on.
pub struct Taken {
    stage: Stage,
    lock: Lock,
}

impl Taken {
    /// Where the sandbox writes.
    pub fn layers(&self) -> String {
        self.stage.layers().to_string_lossy().into_owned()
    }

    /// After the run: a stage without a change is no use to anybody.
    pub fn end(self, context: &Context) {
        let Taken { stage, lock } = self;
        let name = stage.name.clone();
        let count = stage.clone().opened().and_then(|opened| Ok(opened.changes()?.len()));
        match count {
            Ok(0) => {
                if let Err(error) = stage.remove(lock) {
                    context.log.warn(&error.to_string());
                }
            }
            Ok(count) if io::stderr().is_terminal() => {
                eprintln!("zviz: {count} changes in the stage {name}: zviz stage diff shows them");
            }
            Ok(_) => {}
            Err(error) => context.log.warn(&format!("the stage {name}: {:#}", anyhow!(error))),
        }
    }
}

/// Takes the stage that `--stage[=NAME]` names, and makes it if it is not there.
pub fn take(name: &str) -> anyhow::Result<Taken> {
    let (stages, folder) = (stages()?, current_folder()?);
    let name = named(&stages, name, &folder)?;
    let (stage, lock) = stages.take(&name, &folder)?;
    Ok(Taken { stage, lock })
}

/// Where the layers would be; nothing is made.
pub fn planned(name: &str) -> anyhow::Result<String> {
    let (stages, folder) = (stages()?, current_folder()?);
    Ok(stages.layers(&named(&stages, name, &folder)?)?.to_string_lossy().into_owned())
}

fn named(stages: &Stages, name: &str, folder: &str) -> anyhow::Result<String> {
    Ok(match name {
        "" => match stages.of_folder(folder) {
            Err(Error::NoneOf(_)) => Stages::name_of(folder),
            other => other?.name,
        },
        name => name.to_owned(),
    })
}
