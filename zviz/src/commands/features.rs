//! `features`

use super::print;
use zviz_runtime::features::Features;

/// Indented with four spaces, as runc does.
pub fn run() -> anyhow::Result<()> {
    let mut text = Vec::new();
    let spaces = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    serde::Serialize::serialize(&Features::new(), &mut serde_json::Serializer::with_formatter(&mut text, spaces))?;
    text.push(b'\n');
    Ok(print(&String::from_utf8(text)?)?)
}
