//! A command in a sandbox, by the library: `sandbox [--no-filter] COMMAND [ARGUMENTS]...`. The benchmarks compare both forms.

use std::process::ExitCode;
use zviz_runtime::Profile;
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
    let filtered = args.first().is_none_or(|first| first != "--no-filter");
    if !filtered {
        args.remove(0);
    }
    let store = Store::open(&Root::Runtime("/run/zviz-example".into()))?;
    let mut sandbox = Sandbox::new(args);
    sandbox.profile(Profile { seccomp: filtered, ..Profile::default() });
    Ok(sandbox.status(&store)?.status())
}
