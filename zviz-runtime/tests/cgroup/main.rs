//! Real cgroups, made and removed as root. Each test says why it is skipped where the host cannot show it; the virtual
//! machine shows those that a hybrid host cannot.

#![allow(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod devices;
mod life;
mod limits;
mod parts;
mod support;
mod systemd;
