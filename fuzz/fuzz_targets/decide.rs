//! What a waiting call's registers say, and memory that says something else each time it is asked.
#![no_main]

#[path = "decide/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    oracle::check(data);
});
