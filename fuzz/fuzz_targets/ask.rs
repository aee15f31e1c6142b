//! What a client that decides about held calls says.
#![no_main]

#[path = "ask/replies.rs"]
mod replies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| replies::check(data));
