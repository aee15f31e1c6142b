//! Verbs of runc that zviz does not have.

/// Says so.
pub fn run(verb: &str) -> anyhow::Result<()> {
    anyhow::bail!("{verb} is not supported: zviz cannot save and bring back running containers")
}
