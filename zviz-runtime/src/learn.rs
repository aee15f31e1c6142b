//! A profile of what a program needs, from what it was seen to do.
//!
//! ```text
//! calls ──► Needs ──► Lists (folders, secrets) ──► YAML (text)          learned
//!                └──► Denial, beside the profile's Lists ──► YAML lines   frozen
//! ```

mod calls;
mod denied;
mod folders;
mod limits;
mod needs;
mod programs;
mod secrets;
mod text;

pub use denied::{Denied, added};
pub use folders::{Lists, Surroundings};
pub use limits::Limits;
pub use needs::{Needs, Uses};
pub use programs::command;
pub use secrets::why_secret;
pub use text::{Learned, profile};
