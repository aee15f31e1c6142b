//! Programs that ask, resolvers that answer, and time that passes, in any order.
#![no_main]

#[path = "resolver/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    oracle::check(data);
});
