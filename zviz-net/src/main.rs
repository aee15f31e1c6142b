//! `zviz-net`: standard input is a socket on which it is asked, and answers.

#![forbid(unsafe_code)]

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use zviz_net::asked::{self, Asked};
use zviz_net::error::{Doing, Result};
use zviz_net::netfilter::Netfilter;
use zviz_net::serve::Resident;
use zviz_net::up::{self, Descriptors};
use zviz_net::{counters, down, sweep};
use zviz_network::wire::{self, Descriptor, Reply, Request};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zviz-net: {}", error.whole());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let socket: UnixStream = std::io::stdin().as_fd().try_clone_to_owned().doing(|| "standard input")?.into();
    let (reply, resident) = match asked::read(&socket).and_then(answer) {
        Ok(answered) => answered,
        Err(error) => (Reply::Fault { what: error.whole() }, None),
    };
    wire::send(&socket, &reply).doing(|| "reply")?;
    drop(socket);
    resident.map_or(Ok(()), Resident::run)
}

/// What is answered, and what stays after that.
fn answer(asked: Asked) -> Result<(Reply, Option<Resident>)> {
    let Asked { request, descriptors } = asked;
    match request {
        Request::Up(up) => {
            let resident = up::make(&up, Descriptors::sort(&up.descriptors, descriptors)?)?;
            Ok((Reply::Done, resident))
        }
        Request::Down(down) => {
            down::take(&down, &one(descriptors)?)?;
            Ok((Reply::Done, None))
        }
        Request::Counters { table } => {
            one(descriptors)?.enter()?;
            counters::read(&table, &Netfilter::open()?).map(|counters| (Reply::Counters(counters), None))
        }
        Request::Sweep => sweep::list().map(|(tables, links)| (Reply::Swept { tables, links }, None)),
    }
}

/// The network namespace, and the user namespace that owns it where there is one.
fn one(given: Vec<std::os::fd::OwnedFd>) -> Result<Descriptors> {
    let kinds = [Descriptor::Network, Descriptor::User];
    Descriptors::sort(kinds.get(..given.len()).unwrap_or(&kinds), given)
}
