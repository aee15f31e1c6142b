//! The verbs. Each has a file; here is what they share.

mod broker;
mod bundle;
mod compile;
mod create;
mod delete;
mod doctor;
mod events;
mod exec;
mod explain;
mod features;
mod gc;
mod kill;
mod learn;
mod list;
mod out;
mod pause;
mod place;
mod plan;
mod profile;
mod ps;
mod refused;
mod run;
mod sandbox;
mod selftest;
mod spec;
mod stage;
mod start;
mod state;
mod stats;
mod update;
mod why;

use crate::cli::{Cli, Command, Global};
use crate::log::Log;
use nix::unistd::geteuid;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use zviz_runtime::container::{Id, State};
use zviz_runtime::store::{Entry, Error, Locked, Root, Store};

/// Why a run ends, and with which code.
#[derive(Debug)]
pub struct Failure {
    /// Printed by main.
    pub error: anyhow::Error,
    /// Exit code.
    pub code: u8,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), code: 1 }
    }
}

/// What every verb gets.
pub struct Context<'a> {
    /// The flags before the verb.
    pub global: &'a Global,
    /// For warnings.
    pub log: &'a Log,
}

/// Does what the command line says; the exit code.
pub fn run(cli: Cli, log: &Log) -> Result<u8, Failure> {
    let context = Context { global: &cli.global, log };
    match cli.command {
        Command::Create(create) => apart(|| create::run(&context, &create))?,
        Command::Start(one) => apart(|| start::run(&context, &one))?,
        Command::Run(run) => return apart(|| run::run(&context, &run)),
        Command::Learn(learn) => return apart(|| learn::run(&context, &learn)),
        Command::Exec(exec) => return apart(|| exec::run(&context, &exec)),
        Command::State(one) => apart(|| state::run(&context, &one))?,
        Command::List(list) => apart(|| list::run(&context, &list))?,
        Command::Kill(kill) => apart(|| kill::run(&context, &kill))?,
        Command::Delete(delete) => apart(|| delete::run(&context, &delete))?,
        Command::Ps(ps) => apart(|| ps::run(&context, &ps))?,
        Command::Stats(stats) => apart(|| stats::run(&context, &stats))?,
        Command::Pause(one) => apart(|| pause::pause(&context, &one))?,
        Command::Resume(one) => apart(|| pause::resume(&context, &one))?,
        Command::Compile(flags) => apart(|| compile::run(&context, &flags))?,
        Command::Profile(flags) => return apart(|| profile::run(&flags)),
        Command::Selftest(flags) => return apart(|| selftest::run(&context, &flags)),
        Command::SelftestPart(flags) => return apart(|| selftest::run_part(&context, &flags)),
        Command::Stage(flags) => return apart(|| stage::run(&context, &flags)),
        Command::Why(flags) => apart(|| why::run(&context, &flags))?,
        Command::Spec(spec) => apart(|| spec::run(&spec))?,
        Command::Features => apart(features::run)?,
        Command::Plan(plan) => apart(|| plan::run(&context, &plan))?,
        Command::Gc(flags) => apart(|| gc::run(&context, &flags))?,
        Command::Doctor(arguments) => return Ok(apart(|| doctor::run(&arguments))?),
        Command::Broker(flags) => apart(|| broker::run(&context, &flags))?,
        Command::Checkpoint(_) => apart(|| refused::run("checkpoint"))?,
        Command::Restore(_) => apart(|| refused::run("restore"))?,
        Command::Update(update) => apart(|| update::run(&context, &update))?,
        Command::Events(events) => apart(|| events::run(&context, &events))?,
    }
    Ok(0)
}

/// A verb in a frame of its own. As parts of one, all of them would be given memory before the first does anything.
#[inline(never)]
fn apart<T>(verb: impl FnOnce() -> T) -> T {
    verb()
}

/// The code of an error before the verb has its say: 125 where the codes below belong to the command in a sandbox, else
/// 1 as with runc.
pub fn own_error_code(arguments: &[OsString]) -> u8 {
    let verb = arguments.iter().skip(1).find(|argument| *argument == "run");
    if verb.is_some() && arguments.iter().any(|argument| argument == "--") { 125 } else { 1 }
}

impl Context<'_> {
    /// Where containers are remembered.
    fn root(&self) -> Root {
        match &self.global.root {
            Some(root) => Root::Given(root.clone()),
            None => {
                let user = std::env::var("USER").ok();
                let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
                let uid = geteuid().as_raw();
                // The one fact that costs system calls is asked for where it decides something.
                let matters = uid == 0 && runtime_dir.is_some() && user.as_deref() != Some("root");
                Root::default_for(uid, matters && in_user_namespace(), runtime_dir, user.as_deref())
            }
        }
    }

    /// To make a container in.
    pub fn store(&self) -> anyhow::Result<Store> {
        Ok(Store::open(&self.root())?)
    }

    /// To look in: none if nothing was ever made.
    pub fn existing_store(&self) -> anyhow::Result<Option<Store>> {
        Ok(Store::existing(&self.root())?)
    }

    fn store_of(&self, id: &Id) -> Result<Store, Error> {
        Store::existing(&self.root())?.ok_or_else(|| Error::Absent(id.clone()))
    }

    /// An existing container, to look at.
    pub fn entry(&self, id: &str) -> anyhow::Result<(Entry, State)> {
        let id = Id::new(id)?;
        let entry = self.store_of(&id)?.entry(&id)?;
        let state = entry.load()?;
        Ok((entry, state))
    }

    /// An existing container, to change, and the store that it is in.
    pub fn locked_in_store(&self, id: &str) -> anyhow::Result<(Store, Locked, State)> {
        let id = Id::new(id)?;
        let store = self.store_of(&id)?;
        let locked = store.lock(&id)?;
        let state = locked.load()?;
        Ok((store, locked, state))
    }

    /// An existing container's directory, whatever is in it.
    pub fn lock(&self, id: &Id) -> Result<Locked, Error> {
        self.store_of(id)?.lock(id)
    }

    /// An existing container, to change.
    pub fn locked(&self, id: &str) -> anyhow::Result<(Locked, State)> {
        let id = Id::new(id)?;
        let locked = self.lock(&id)?;
        let state = locked.load()?;
        Ok((locked, state))
    }
}

/// Whether root is root of a user namespace only: the first one maps all ids to themselves. user_namespaces(7).
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// Prints an answer; a reader that has gone away is an error like any other.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
