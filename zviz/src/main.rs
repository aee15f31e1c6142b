//! zviz: an OCI-compatible Linux sandbox runtime.

mod cli;
mod commands;
mod log;
mod version;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};
use cli::{Cli, Global};
use commands::Failure;
use log::Log;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Every test of the debug build shows that init does not allocate.
#[cfg(debug_assertions)]
#[global_allocator]
static ALLOCATOR: zviz_sys::guard::Guarded = zviz_sys::guard::Guarded;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Before anything is done twice. A command in a sandbox decides later, since it may not need it.
    let said = |word: &str| arguments.iter().any(|argument| argument == word);
    if (said("create") || said("exec") || (said("run") || said("broker")) && !said("--"))
        && let Err(error) = zviz_runtime::sealed::ensure()
    {
        eprintln!("zviz: seal the runtime's binary: {error}");
        return ExitCode::FAILURE;
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(refuse(&arguments, &error)),
    };
    let log = match Log::open(&cli.global) {
        Ok(log) => log,
        Err(error) => {
            let path = cli.global.log.unwrap_or_default();
            eprintln!(
                "zviz: error: {}",
                words(&anyhow::Error::from(error).context(format!("open log {}", path.display())))
            );
            return ExitCode::from(commands::own_error_code(&arguments));
        }
    };
    match commands::run(cli, &log) {
        Ok(code) => ExitCode::from(code),
        Err(Failure { error, code }) => {
            log.error(&words(&error));
            ExitCode::from(code)
        }
    }
}

/// Answers arguments that ask for help, or that are wrong: the latter go to the log too, which is where callers look.
fn refuse(arguments: &[OsString], error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        return u8::from(error.print().and_then(|()| std::io::stdout().flush()).is_err());
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nothing can be done if standard error is closed.
        let _ = error.print();
        return 1;
    }
    let message = usage_message(arguments, &error.to_string());
    // As far as the flags before the verb can be understood.
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(arguments);
    let global = matches.ok().and_then(|matches| Global::from_arg_matches(&matches).ok());
    match Log::open(&global.unwrap_or_default()) {
        Ok(log) => log.error(&message),
        Err(_) => eprintln!("zviz: error: {message}"),
    }
    commands::own_error_code(arguments)
}

/// The first paragraph of what clap says, as one line, and where to read on.
fn usage_message(arguments: &[OsString], text: &str) -> String {
    let paragraph = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    let line = paragraph.collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    let command = Cli::command();
    let verb = arguments.iter().skip(1).find_map(|argument| command.find_subcommand(argument));
    match verb {
        Some(verb) => format!("{}: {line} (see zviz {} --help)", verb.get_name(), verb.get_name()),
        None => format!("{line} (see zviz --help)"),
    }
}

/// An error and its causes, without the numbers that the standard library adds to the kernel's words.
fn words(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let mut words = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(" (os error ") {
        words.push_str(before);
        match after.split_once(')') {
            Some((number, after)) if number.bytes().all(|b| b.is_ascii_digit()) => rest = after,
            _ => {
                words.push_str(" (os error ");
                rest = after;
            }
        }
    }
    words + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without it, that no test of the binary is caught would show nothing.
    #[cfg(debug_assertions)]
    #[test]
    fn the_guard_is_this_programs_allocator() {
        use std::os::fd::AsFd;
        use zviz_sys::process::{Cloned, clone, exit};
        use zviz_sys::{fd, guard, wait};
        let end = |allocates| match clone(0, None).unwrap() {
            Cloned::Child => {
                // What it says is for those who see it elsewhere.
                let _ = fd::close_from(0);
                if allocates {
                    std::hint::black_box(vec![1u8; 100]);
                }
                exit(0)
            }
            Cloned::Parent { pidfd, .. } => wait::wait(pidfd.as_fd()).unwrap().status(),
        };
        assert_eq!((end(false), end(true)), (0, guard::CAUGHT));
    }

    #[test]
    fn numbers_of_errors_are_left_out() {
        let error = anyhow::Error::from(std::io::Error::from_raw_os_error(2)).context("open /x");
        assert_eq!(words(&error), "open /x: No such file or directory");
        assert_eq!(words(&anyhow::anyhow!("a (os error x) b (os error 1")), "a (os error x) b (os error 1");
    }

    #[test]
    fn wrong_arguments_are_one_line() {
        for line in ["state", "nope", "create --nope a", "--log-format x list", "kill", "run --net x -- a"] {
            let arguments: Vec<OsString> = format!("zviz {line}").split(' ').map(OsString::from).collect();
            let text = Cli::try_parse_from(&arguments).unwrap_err().to_string();
            let message = usage_message(&arguments, &text);
            assert!(!message.contains('\n') && !message.starts_with("error"), "{message}");
        }
        let arguments = ["zviz", "state"].map(OsString::from);
        let text = Cli::try_parse_from(&arguments).unwrap_err().to_string();
        assert_eq!(
            usage_message(&arguments, &text),
            "state: the following required arguments were not provided: <ID> (see zviz state --help)"
        );
    }
}
