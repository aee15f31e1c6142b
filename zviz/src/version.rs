//! What `--version` prints.

use std::sync::LazyLock;
use zviz_runtime::features::OCI_VERSION_MAX;

static TEXT: LazyLock<String> =
    LazyLock::new(|| format!("version {}\nspec: {OCI_VERSION_MAX}", env!("CARGO_PKG_VERSION")));

/// After the program's name; lines as runc prints them, which callers take apart.
pub fn text() -> &'static str {
    &TEXT
}
