//! `selftest`: attempts to escape, made in a sandbox of a profile on this host.

mod compare;

use super::{Context, Failure, print};
use crate::cli;
use crate::cli::selftest::{Part, PartName, Selftest};
use anyhow::{Context as _, anyhow};
use std::ffi::OsStr;
use std::fmt::Write;
use std::io::{BufRead, BufReader, Read, stdin, stdout};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use zviz_runtime::Host;
use zviz_runtime::plan::Backend;
use zviz_runtime::profile::Profile;
use zviz_runtime::profile::find::{Search, anywhere};
use zviz_runtime::profile::lower;
use zviz_runtime::sandbox::Sandbox;
use zviz_selftest::bait::Laid;
use zviz_selftest::report::Report;
use zviz_selftest::{Answer, Bait, Control, GROUPS, Group, Outcome, control, find, inside};

/// Where this program is in the sandbox.
const INSIDE: &str = "/run/zviz-selftest";

pub fn run(context: &Context, flags: &Selftest) -> Result<u8, Failure> {
    let group = flags.group.as_deref();
    let groups: Vec<Group> = GROUPS
        .iter()
        .filter(|known| group.is_none_or(|name| name == known.name))
        .map(|known| Group { ..*known })
        .collect();
    if groups.is_empty() {
        let names: Vec<&str> = GROUPS.iter().map(|known| known.name).collect();
        return Err(anyhow!("there is no group {}: {}", group.unwrap_or_default(), names.join(", ")).into());
    }
    if flags.list {
        print(&list(&groups, flags.json)?)?;
        return Ok(0);
    }
    if flags.compare {
        return compare::run(context, flags, &groups);
    }
    let names = groups.iter().flat_map(|group| group.probes).map(|probe| probe.name.to_owned()).collect();
    let report = match flags.controls {
        true => Report::of_controls(&groups, &controls(names)?),
        false => {
            let profile = profile(&flags.profile)?;
            let answers = attempts(context, &flags.profile, flags.backend, names)?;
            Report::of(&profile, backend(flags.backend), &groups, &answers)
        }
    };
    let text = match flags.json {
        true => serde_json::to_string_pretty(&report).context("print the report")? + "\n",
        false => report.table(),
    };
    print(&text)?;
    Ok(u8::from(!report.is_good()))
}

fn list(groups: &[Group], json: bool) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut rows = Vec::new();
    for group in groups {
        let _ = writeln!(text, "{} ({}): {}", group.name, group.probes.len(), group.about);
        for probe in group.probes {
            let _ = writeln!(text, "  {:28} {} ({})", probe.name, probe.about, probe.source);
            let row = [("group", group.name), ("probe", probe.name), ("about", probe.about), ("source", probe.source)];
            rows.push(std::collections::BTreeMap::from(row));
        }
    }
    Ok(if json { serde_json::to_string_pretty(&rows)? + "\n" } else { text })
}

/// This program as a part of the test.
fn part(program: impl AsRef<OsStr>, name: &str, bait: &Bait) -> anyhow::Result<Command> {
    let mut command = Command::new(program);
    command.args(["selftest-part", name, "--bait", &serde_json::to_string(bait)?]);
    Ok(command)
}

fn own_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("find this program")
}

/// Makes the attempts in sandboxes of the profile.
fn attempts(
    context: &Context,
    profile: &str,
    backend: Option<cli::Backend>,
    names: Vec<String>,
) -> anyhow::Result<Vec<Answer>> {
    let program = own_program()?;
    let mut laid = Laid::lay(part(&program, "wait", &Bait::default())?).context("lay out what to reach for")?;
    laid.hand_on()?;
    through(&laid, names, |names| {
        let mut door = own_door(context, profile, &laid.bait, names)?;
        door.args(backend.map(|backend| format!("--backend={}", backend.name())));
        door.arg("--program").arg(&program);
        Ok(door)
    })
}

fn backend(given: Option<cli::Backend>) -> Backend {
    match given {
        Some(cli::Backend::Landlock) => Backend::Landlock,
        Some(cli::Backend::Namespaces) | None => Backend::Namespaces,
    }
}

/// What makes these attempts in one sandbox of the profile.
fn own_door(context: &Context, profile: &str, bait: &Bait, names: &[String]) -> anyhow::Result<Command> {
    let mut door = Command::new(own_program()?);
    if let Some(root) = &context.global.root {
        door.arg("--root").arg(std::path::absolute(root).context("--root")?);
    }
    // It is called in another folder.
    let profile = anywhere(profile).with_context(|| format!("--profile {profile}"))?;
    door.args(["selftest-part", "door", "--profile", &profile, "--bait", &serde_json::to_string(bait)?]).args(names);
    Ok(door)
}

/// Makes the attempts by way of a door: one sandbox for all of them, or as many as it takes where some end it.
fn through(
    laid: &Laid,
    mut names: Vec<String>,
    mut door: impl FnMut(&[String]) -> anyhow::Result<Command>,
) -> anyhow::Result<Vec<Answer>> {
    let mut answers: Vec<Answer> = Vec::new();
    while !names.is_empty() {
        let mut door = door(&names)?;
        door.envs(laid.environment()).current_dir(laid.work()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut door = door.spawn().context("start the sandbox")?;
        let mut begun = None;
        for line in BufReader::new(door.stdout.take().context("read answers")?).lines() {
            let line = line.context("read answers")?;
            match line.strip_prefix("begin ") {
                Some(name) => begun = Some(name.to_owned()),
                None => {
                    answers.push(serde_json::from_str(&line).with_context(|| format!("read answer {line:?}"))?);
                    begun = None;
                }
            }
        }
        let status = door.wait()?;
        if let Some(name) = begun {
            let how = format!("the whole sandbox was ended: {status}");
            answers.push(Answer { probe: name, outcome: Outcome::Blocked(how) });
        }
        let left = names.len();
        names.retain(|name| !answers.iter().any(|answer| answer.probe == *name));
        if names.len() == left {
            return Err(anyhow!("the sandbox gives no answer: {status}"));
        }
    }
    Ok(answers)
}

fn controls(names: Vec<String>) -> anyhow::Result<Vec<Answer>> {
    if !nix::unistd::geteuid().is_root() {
        return Err(anyhow!("controls change their rights and namespaces, which needs root"));
    }
    let program = own_program()?;
    let mut laid = Laid::lay(part(&program, "wait", &Bait::default())?).context("lay out what to reach for")?;
    laid.hand_on()?;
    let mut answers = Vec::new();
    for name in names {
        let impossible = find(&name).is_none_or(|probe| matches!(probe.control, Control::Impossible(_)));
        let outcome = match impossible {
            true => Outcome::NotApplicable("not run".into()),
            false => {
                let mut command = part(&program, "control", &laid.bait)?;
                command.arg(&name).current_dir(laid.work()).envs(laid.environment());
                inside::apart(&mut command)?
            }
        };
        answers.push(Answer { probe: name, outcome });
    }
    Ok(answers)
}

/// As `zviz run` finds it.
fn profile(name: &str) -> anyhow::Result<Profile> {
    let found = Search::of_user().profile(name, &lower::Context::of_caller());
    found.map_err(|why| anyhow!("--profile {name}: {why}"))
}

/// A part of the test, in a process of its own.
pub fn run_part(context: &Context, flags: &Part) -> Result<u8, Failure> {
    let bait: Bait = serde_json::from_str(&flags.bait).or_else(|error| match flags.bait.as_str() {
        "{}" => Ok(Bait::default()),
        _ => Err(error),
    })?;
    let name = flags.names.first().map(String::as_str).unwrap_or_default();
    let probe = || find(name).ok_or_else(|| anyhow!("there is no probe {name}"));
    match flags.part {
        PartName::Door => return door(context, flags),
        PartName::Inside => {
            let one = |name: &str| {
                let mut command = Command::new("/proc/self/exe");
                command.args(["selftest-part", "one", "--bait", &flags.bait, name]);
                command
            };
            inside::all(&flags.names, &bait, one, &mut stdout().lock())?;
        }
        PartName::One => inside::one(probe()?, &bait, &mut stdout().lock())?,
        PartName::Control => {
            let probe = probe()?;
            control::enter(probe.control)?;
            inside::one(probe, &bait, &mut stdout().lock())?;
        }
        PartName::Wait => {
            // Until the other end is closed.
            let _ = stdin().read(&mut [0])?;
        }
    }
    Ok(0)
}

/// The way of `zviz run -- COMMAND`, with this program readable and executable in the sandbox beside what the profile has.
fn door(context: &Context, flags: &Part) -> Result<u8, Failure> {
    let program = flags.program.clone().map_or_else(own_program, Ok)?.to_string_lossy().into_owned();
    let backend = backend(flags.backend);
    // Without mounts it is where it is.
    let inside = if backend == Backend::Landlock { program.as_str() } else { INSIDE };
    let mut command = vec![inside.to_owned(), "selftest-part".into(), "inside".into(), "--bait".into()];
    command.push(flags.bait.clone());
    command.extend(flags.names.iter().cloned());
    let mut profile = profile(&flags.profile)?;
    if let Some(executable) = &mut profile.files.executable {
        executable.push(inside.into());
    }
    let mut sandbox = Sandbox::new(command);
    sandbox.profile(profile).ro(&program, inside).backend(backend);
    let host = Host::probe()?;
    if !sandbox.has_ids_of_its_own(&host) {
        zviz_runtime::sealed::ensure()?;
    }
    let store = context.store()?;
    Ok(sandbox.decide(&store, host)?.run(&store, None)?.status())
}
