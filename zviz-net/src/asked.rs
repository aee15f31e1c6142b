//! What arrives at standard input: the request, and the descriptors that come with it.

use crate::error::{Doing, Error, Result};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use zviz_network::wire::{self, Request};
use zviz_sys::rights;

/// Bytes of the first receive, which is most often the only one.
const FIRST: usize = 64 << 10;

/// A request with its descriptors.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// In the order in which they were sent.
    pub descriptors: Vec<OwnedFd>,
}

/// Reads the request.
///
/// # Errors
/// Of the socket, its end, and what is no request, or has more descriptors than any has.
pub fn read(from: &UnixStream) -> Result<Asked> {
    let mut first = vec![0; FIRST];
    let received = rights::receive(from.as_fd(), &mut first).doing(|| "request")?;
    if received.truncated {
        return Err(Error::new("more descriptors than a request has"));
    }
    first.truncate(received.bytes);
    let request = wire::receive(first.as_slice().chain(from)).doing(|| "request")?;
    Ok(Asked { request, descriptors: received.fds.into_iter().flatten().collect() })
}
