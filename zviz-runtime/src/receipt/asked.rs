//! What was asked for, without what may be a secret: values of the environment, and the words of a command after its name.

use serde::{Deserialize, Serialize};

/// What a container was asked for with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Asked {
    /// Which door it came through.
    pub form: Form,
    /// Flags with their values, but for values of the environment.
    pub flags: Vec<String>,
    /// The bundle, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// SHA-256 of the bundle's config.json as it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<String>,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// How many words follow it.
    pub arguments: usize,
}

/// The ways to a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// `run -- COMMAND`, or a program's [`Sandbox`](crate::sandbox::Sandbox).
    #[default]
    Command,
    /// The OCI commands.
    Bundle,
}

impl Asked {
    /// By flags, or by a program.
    #[must_use]
    pub fn command(flags: Vec<String>, args: &[String]) -> Asked {
        Asked { flags, ..Asked::default() }.with(args)
    }

    /// By a bundle, whose config.json has this hash.
    #[must_use]
    pub fn bundle(flags: Vec<String>, path: &str, config_sha256: &str, args: &[String]) -> Asked {
        let (bundle, config) = (path.to_owned(), config_sha256.to_owned());
        Asked { form: Form::Bundle, flags, bundle: Some(bundle), config_sha256: Some(config), ..Asked::default() }
            .with(args)
    }

    fn with(self, args: &[String]) -> Asked {
        Asked { program: args.first().cloned(), arguments: args.len().saturating_sub(1), ..self }
    }
}
