//! Units of systemd, made, changed and stopped over D-Bus. org.freedesktop.systemd1(5).

use super::Error;
use crate::plan::cgroup::path::Unit;
use crate::plan::cgroup::systemd::{Property, Value as Planned};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;
use zbus::blocking::{Connection, MessageIterator, connection::Builder};
use zbus::zvariant::{OwnedObjectPath, Value};
use zbus::{MatchRule, message::Type};

const SERVICE: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// How long systemd may take to answer, or to finish a job.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the manager of a unit.
pub struct Manager {
    bus: Connection,
    unit: Unit,
    version: u32,
}

impl Manager {
    /// Connects to the system's manager, or to that of the user that we are.
    pub fn connect(unit: &Unit) -> Result<Self, Error> {
        let failed = |e: zbus::Error| Error::Systemd { call: "connect".to_owned(), source: Box::new(e) };
        let builder = if unit.user { user_bus() } else { Builder::system() };
        let bus = builder.and_then(|b| b.method_timeout(PATIENCE).build()).or_else(|error| {
            // A machine without the message bus: systemd listens to root itself.
            if unit.user {
                return Err(error);
            }
            Builder::address("unix:path=/run/systemd/private")?
                .p2p()
                .method_timeout(PATIENCE)
                .build()
                .map_err(|_| error)
        });
        let mut manager = Self { bus: bus.map_err(failed)?, unit: unit.clone(), version: 0 };
        manager.version = leading_number(&manager.property("Version")?);
        Ok(manager)
    }

    /// The number of systemd's release.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Where the manager's own cgroup is: `/`, or `/user.slice/user-1000.slice/user@1000.service`.
    pub fn control_group(&self) -> Result<PathBuf, Error> {
        let path = self.property("ControlGroup")?;
        Ok(PathBuf::from(path.trim_start_matches('/')))
    }

    /// Starts the unit, with a process in it where it is a scope, and waits until it is there.
    pub fn start(&self, properties: &[Property], pid: u32) -> Result<(), Error> {
        let mut properties = on_the_wire(properties);
        if !self.unit.is_slice() {
            properties.push(("PIDs", Value::from(vec![pid])));
        }
        let none: Vec<(&str, Vec<(&str, Value<'_>)>)> = Vec::new();
        let start = || self.job("StartTransientUnit", &(&self.unit.name, "replace", &properties, &none));
        match start() {
            // What is left of one that failed is in the way; it goes when it is reset.
            Err(error) if error.is_named("UnitExists") => {
                self.reset();
                start()
            }
            other => other,
        }
    }

    /// Stops the unit and waits until it is gone. One that is not there is fine.
    pub fn stop(&self) -> Result<(), Error> {
        let stopped = self.job("StopUnit", &(&self.unit.name, "replace"));
        self.reset();
        match stopped {
            Err(error) if error.is_named("NoSuchUnit") => Ok(()),
            other => other,
        }
    }

    /// Changes limits of the running unit, until the next boot.
    pub fn set(&self, properties: &[Property]) -> Result<(), Error> {
        let properties = on_the_wire(properties);
        self.call("SetUnitProperties", &(&self.unit.name, true, &properties)).map(drop)
    }

    /// Moves a process into the unit, to a directory below its own.
    pub fn attach(&self, pid: u32, below: &str) -> Result<(), Error> {
        self.call("AttachProcessesToUnit", &(&self.unit.name, format!("/{below}"), vec![pid])).map(drop)
    }

    /// Has systemd forget a failed unit. It is an error if there is none, which is what is hoped for.
    fn reset(&self) {
        let _ = self.call("ResetFailedUnit", &(&self.unit.name,));
    }

    fn call<B>(&self, method: &str, body: &B) -> Result<zbus::Message, Error>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.bus
            .call_method(Some(SERVICE), OBJECT, Some(MANAGER), method, body)
            .map_err(|e| Error::Systemd { call: format!("{method} {}", self.unit.name), source: Box::new(e) })
    }

    /// Calls a method that answers with a job, and waits for the job's end.
    fn job<B>(&self, method: &str, body: &B) -> Result<(), Error>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Systemd {
            call: format!("{method} {}", self.unit.name),
            source,
        };
        // Listening begins before the call, so that the end of a fast job is not missed.
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(MANAGER)
            .and_then(|rule| rule.member("JobRemoved"))
            .map(|rule| rule.build())
            .map_err(|e| failed(Box::new(e)))?;
        let signals = MessageIterator::for_match_rule(rule, &self.bus, Some(64)).map_err(|e| failed(Box::new(e)))?;
        let job: OwnedObjectPath = self.call(method, body)?.body().deserialize().map_err(|e| failed(Box::new(e)))?;
        // The iterator cannot be given a time limit; a thread that waits for it can be left behind.
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let ours = signals.filter_map(Result::ok).find_map(|message| {
                let (_, path, _, result): (u32, OwnedObjectPath, String, String) = message.body().deserialize().ok()?;
                (path == job).then_some(result)
            });
            // No one listens any more once the time is up.
            let _ = sender.send(ours);
        });
        match receiver.recv_timeout(PATIENCE) {
            Ok(Some(result)) if result == "done" => Ok(()),
            Ok(result) => {
                self.reset();
                Err(failed(format!("the job ended as {:?}", result.unwrap_or_default()).into()))
            }
            Err(_) => {
                self.reset();
                Err(failed(format!("the job did not end within {} s", PATIENCE.as_secs()).into()))
            }
        }
    }

    fn property(&self, name: &str) -> Result<String, Error> {
        let failed = |e: zbus::Error| Error::Systemd { call: format!("read {name}"), source: Box::new(e) };
        let reply = self
            .bus
            .call_method(Some(SERVICE), OBJECT, Some("org.freedesktop.DBus.Properties"), "Get", &(MANAGER, name))
            .map_err(failed)?;
        let body = reply.body();
        let value: Value<'_> = body.deserialize().map_err(failed)?;
        String::try_from(value).map_err(|e| failed(e.into()))
    }
}

/// The bus of the user's manager. In a user namespace we are root to ourselves, and someone else to the bus: it wants
/// the id that it sees.
fn user_bus() -> Result<Builder<'static>, zbus::Error> {
    let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").ok().filter(|a| !a.is_empty());
    let address = address.or_else(|| std::env::var("XDG_RUNTIME_DIR").ok().map(|dir| format!("unix:path={dir}/bus")));
    let Some(address) = address else {
        let hint =
            "neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set; log in with dbus-user-session installed";
        return Err(zbus::Error::Address(hint.to_owned()));
    };
    let builder = Builder::address(address.as_str())?;
    Ok(match outside_uid() {
        Some(uid) => builder.user_id(uid),
        None => builder,
    })
}

/// Our user id as the parent of our user namespace sees it. user_namespaces(7).
fn outside_uid() -> Option<u32> {
    let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    let own = nix::unistd::geteuid().as_raw();
    map.lines().find_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (inside, outside, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        own.checked_sub(inside).filter(|&n| n < count).and_then(|n| outside.checked_add(n))
    })
}

/// `257.9-1~deb13u1` is 257, `v245.4` is 245.
fn leading_number(version: &str) -> u32 {
    let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

fn on_the_wire(properties: &[Property]) -> Vec<(&'static str, Value<'static>)> {
    let value = |value: &Planned| match value {
        Planned::Bool(b) => Value::from(*b),
        Planned::Number(n) => Value::from(*n),
        Planned::Text(text) => Value::from(text.clone()),
        Planned::Texts(texts) => Value::from(texts.clone()),
        Planned::Bits(bits) => Value::from(bits.clone()),
        Planned::Pairs(pairs) => Value::from(pairs.clone()),
    };
    properties.iter().map(|(name, planned)| (*name, value(planned))).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions() {
        let versions = [("257.9-1~deb13u1", 257), ("v245.4-1.fc32", 245), ("\"252\"", 252), ("?", 0)];
        for (text, number) in versions {
            assert_eq!(super::leading_number(text), number);
        }
    }
}
