//! What this runtime can do, as `features` prints it. features.md of the runtime specification.

/// The oldest `ociVersion` that is understood.
pub const OCI_VERSION_MIN: &str = "1.0.0";
/// The newest one; later 1.x only add to it.
pub const OCI_VERSION_MAX: &str = "1.3.0";
