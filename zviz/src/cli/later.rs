//! A verb's flags, told to the parser when that verb is there.
//!
//! To describe all flags of all verbs takes longer than everything else that is done before a sandbox is decided on.

use clap::{ArgMatches, Args, Command, FromArgMatches, error};
use std::ops::Deref;

/// The flags `T` of a verb.
#[derive(Debug)]
pub struct Later<T>(Box<T>);

impl<T> Deref for Later<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What the verb says of itself comes before what its flags say.
fn describe<T: Args>(verb: Command) -> Command {
    let (about, long_about) = (verb.get_about().cloned(), verb.get_long_about().cloned());
    let verb = T::augment_args(verb);
    let verb = match about {
        Some(text) => verb.about(text),
        None => verb,
    };
    match long_about {
        Some(text) => verb.long_about(text),
        None => verb.long_about(None::<&str>),
    }
}

impl<T: Args> Args for Later<T> {
    fn augment_args(verb: Command) -> Command {
        verb.defer(describe::<T>)
    }

    fn augment_args_for_update(verb: Command) -> Command {
        T::augment_args_for_update(verb)
    }
}

impl<T: FromArgMatches> FromArgMatches for Later<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, error::Error> {
        T::from_arg_matches(matches).map(|flags| Later(Box::new(flags)))
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, error::Error> {
        T::from_arg_matches_mut(matches).map(|flags| Later(Box::new(flags)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), error::Error> {
        self.0.update_from_arg_matches(matches)
    }
}
