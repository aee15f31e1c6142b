//! The broker's side of its start: it becomes the eyes, forks the hands, and waits for the listener.

use super::{Settings, Way};
use crate::audit::{Audit, Sink};
use crate::confine;
use crate::eyes::{Eyes, Log, Orders, Pause, Watch};
use crate::hands::{self, Asked, Hands, Turns};
use crate::loader::{self, Loader};
use crate::policy::files::Rules;
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::process::{self, Cloned, exit};
use zviz_sys::seccomp::Instruction;
use zviz_sys::{fd, path, rights, wait};

/// The ends that the first process has.
pub(super) struct Parts {
    pub control: OwnedFd,
    pub to_hands: OwnedFd,
    pub to_eyes: OwnedFd,
    pub proc: OwnedFd,
    pub client: Option<OwnedFd>,
}

/// What each part may do.
pub(super) struct Filters<'f> {
    pub eyes: &'f [Instruction],
    pub hands: &'f [Instruction],
    /// None where there is no such part.
    pub loader: Option<&'f [Instruction]>,
}

/// Becomes the eyes, and forks the hands. What fails here, the runtime sees as the end of its socket.
pub(super) fn begin(
    mut settings: Settings,
    audit: Option<Sink>,
    parts: Parts,
    filters: &Filters<'_>,
    alone: Option<hands::Orders>,
) -> ! {
    let Parts { control, to_hands, to_eyes, proc, client } = parts;
    let way = std::mem::take(&mut settings.way);
    if enter(&way, &proc).is_err() {
        exit(1)
    }
    let Way { later, mut freezer, .. } = way;
    let death = settings.policy.death;
    let rules = settings.policy.files.as_ref().map(Rules::new);
    let mut kept = vec![Some(control.as_fd()), Some(to_hands.as_fd())];
    let files = [&settings.facts.usage, &settings.facts.tasks, &freezer];
    kept.extend(files.map(|file| file.as_ref().map(AsFd::as_fd)));
    kept.extend(audit.iter().flat_map(Sink::descriptors).map(Some));
    kept.push(client.as_ref().map(AsFd::as_fd));
    let both = [&kept[..], &[Some(to_eyes.as_fd()), Some(proc.as_fd())]].concat();
    if confine::detach(c"zviz-eyes", &both).is_err() {
        exit(1)
    }
    let given = if later { told_to_go_on(&control) } else { Ok(None) };
    let Ok(given) = given else { exit(1) };
    kept.extend(given.iter().map(|file| Some(file.as_fd())));
    match process::fork() {
        Err(_) => exit(1),
        Ok(Cloned::Child) => {
            let kept = [Some(to_eyes.as_fd()), Some(proc.as_fd())];
            let turns = confine::detach(c"zviz-hands", &kept).and_then(|()| Turns::new());
            let Ok(turns) = turns.and_then(|turns| confine::load_after(filters.hands).map(|()| turns)) else { exit(1) };
            let sockets = settings.policy.sockets;
            let patient = settings.patient;
            hands::run(Hands { proc, eyes: to_eyes, death, rules, sockets, turns, patient, alone })
        }
        Ok(Cloned::Parent { pidfd, .. }) => {
            let Ok(loader) = filters.loader.map(loader::start).transpose() else { exit(1) };
            kept.push(Some(pidfd.as_fd()));
            kept.extend(loader.iter().flat_map(|loader| [&loader.socket, &loader.pidfd]).map(|fd| Some(fd.as_fd())));
            if fd::close_all_but(3, &kept).and_then(|()| confine::drop_rights(settings.capabilities)).is_err() {
                exit(1)
            }
            drop(kept);
            if let Some(file) = given {
                freezer = Some(file.into());
            }
            serve(
                settings,
                audit,
                (control, client),
                (to_hands, pidfd, loader),
                (Pause::new(freezer), alone.is_some()),
                filters.eyes,
            )
        }
    }
}

/// Into the cgroup, before there are hands, which are in it from the beginning then.
fn enter(way: &Way, proc: &OwnedFd) -> Result<(), Errno> {
    // A process with one thread moves itself: for a process that is moved by another the kernel stops all forks.
    way.tasks.iter().try_for_each(|tasks| fd::write_value(tasks.as_fd(), b"0"))?;
    if let Some(score) = way.oom_score_adj {
        // Who may not make it less than it was leaves it.
        let file = path::openat2(proc.as_fd(), c"self/oom_score_adj", libc::O_WRONLY, 0, 0);
        let _ = file.and_then(|file| fd::write_value(file.as_fd(), score.to_string().as_bytes()));
    }
    Ok(())
}

/// Waits for that; a freezer may come along.
fn told_to_go_on(control: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    let received = rights::receive(control.as_fd(), &mut [0u8; 1])?;
    if received.bytes == 1 { Ok(received.fds.into_iter().flatten().next()) } else { Err(Errno::EPIPE) }
}

/// The eyes, until they are given something to look at.
fn serve(
    settings: Settings,
    audit: Option<Sink>,
    (control, client): (OwnedFd, Option<OwnedFd>),
    (to_hands, hands, loader): (OwnedFd, OwnedFd, Option<Loader>),
    (pause, alone): (Pause, bool),
    filter: &[Instruction],
) -> ! {
    let Settings { policy, facts, container, one_identity, .. } = settings;
    // Both make a thread, which the filter would not let them.
    let audit = audit.map_or(Ok(Audit::none()), Audit::start);
    let (Ok(audit), Ok(watch), Ok(())) = (audit, Watch::start(), confine::load(filter)) else { exit(1) };
    let mut word = [0u8; 1];
    let Ok(received) = rights::receive(control.as_fd(), &mut word) else { exit(1) };
    let [Some(listener), Some(init), Some(payload), cgroup, ..] = received.fds else {
        drop(to_hands);
        let _ = wait::wait(hands.as_fd());
        let _ = loader.map(Loader::end);
        exit(0)
    };
    let entered = hands::ask(to_hands.as_fd(), &Asked::Enter(payload.as_fd(), init.as_fd()))
        .and_then(|()| hands::read_answer(to_hands.as_fd()))
        .and_then(|answer| answer.map_or(Err(Errno::EPIPE), |answer| answer.errno.map_or(Ok(()), Err)))
        .and_then(|()| loader.as_ref().map_or(Ok(()), |loader| loader.enter(cgroup)));
    let errno = entered.err().map_or(0, |errno| errno as i32);
    let told = rights::send_with(control.as_fd(), &errno.to_le_bytes(), &[]);
    drop(control);
    if errno != 0 || told.is_err() {
        drop((listener, to_hands));
        let _ = wait::wait(hands.as_fd());
        let _ = loader.map(Loader::end);
        exit(1)
    }
    let log = Log::new(container, audit, policy.record, policy.origins.clone());
    let orders = Orders { policy, one_identity, client, loader, pause, alone };
    Eyes::new(orders, facts, log, listener, init, (to_hands, hands), watch).run()
}
