//! Docker with zviz as its only runtime: one dockerd, ended at the end, and one container or a few a case.

mod build;
mod daemon;
mod doors;
mod exec;
mod isolation;
mod life;
mod limits;
mod outcome;
mod sharing;
mod storage;
mod terminal;
mod userns;
mod without_namespaces;

use crate::support::requires;
pub use daemon::{Container, Docker};

#[test]
fn docker() {
    requires!(root, program "dockerd", program "containerd", program "docker", program "busybox", program "setpriv");
    let docker = Docker::start();
    cases!(
        &docker,
        outcome::hello,
        outcome::exit_codes,
        outcome::home,
        outcome::a_program_that_cannot_run,
        terminal::a_terminal,
        terminal::input_and_output,
        limits::out_of_memory,
        limits::too_many_processes,
        limits::cpu_and_cpuset,
        limits::changed_limits,
        limits::ulimit,
        limits::its_own_cgroup,
        isolation::user,
        isolation::capabilities,
        isolation::seccomp,
        isolation::no_new_privileges,
        isolation::privileged,
        isolation::devices,
        isolation::sysctl,
        isolation::masked_paths,
        storage::read_only,
        storage::tmpfs,
        storage::volumes,
        storage::propagation,
        storage::named_volume,
        sharing::host_name,
        sharing::network,
        sharing::another_container,
        exec::exec,
        exec::exec_with_a_terminal,
        exec::exec_that_cannot_run,
        life::stop,
        life::kill,
        life::pause,
        life::top_and_stats,
        life::restart,
        life::init,
        life::inspect_and_rename,
        life::leaves_nothing,
        build::image,
        without_namespaces::landlock,
    );
}
