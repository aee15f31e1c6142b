//! A command in a sandbox, by the library: `sandbox [--compiled DIR|--no-policy|--no-filter|--files|--degrade|--kill] COMMAND
//! [ARGUMENTS]...`: with what `zviz compile` wrote, without a filter and Landlock, without a filter, or with rules about files that the
//! broker follows; the benchmarks compare the forms. Or with another name of the machine's release, and a broker whose death the
//! command outlives, or not.

use std::path::Path;
use std::process::ExitCode;
use zviz_broker::policy::Death;
use zviz_broker::policy::files::{Access, FileRule, Files, Reason, Verdict};
use zviz_runtime::Profile;
use zviz_runtime::profile::artefacts;
use zviz_runtime::profile::lower::Context;
use zviz_runtime::sandbox::Sandbox;
use zviz_runtime::store::{Root, Store};

fn main() -> ExitCode {
    match run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::from(125)
        }
    }
}

fn run() -> Result<u8, Box<dyn std::error::Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut profile = Profile::default();
    match args.first().map(String::as_str) {
        Some("--compiled") if args.len() > 1 => {
            profile = artefacts::load(Path::new(&args.remove(1)), None, &Context::of_caller())?;
        }
        Some("--no-policy") => (profile.seccomp, profile.landlock) = (false, false),
        Some("--no-filter") => profile.seccomp = false,
        Some("--files") => {
            let secrets =
                FileRule { glob: "/etc/**.key".into(), access: Access::Any, verdict: Verdict::Deny(Reason::Eacces) };
            profile.broker.files = Some(Files { rules: vec![secrets], ..Files::default() });
        }
        Some(flag @ ("--degrade" | "--kill")) => {
            profile = Profile::built_in("virtualised").ok_or("there is no profile virtualised")?;
            profile.broker.death = if flag == "--kill" { Death::Kill } else { Death::Degrade };
        }
        _ => args.insert(0, String::new()),
    }
    args.remove(0);
    let store = Store::open(&Root::Runtime("/run/zviz-example".into()))?;
    let mut sandbox = Sandbox::new(args);
    sandbox.profile(profile);
    Ok(sandbox.status(&store)?.status())
}
