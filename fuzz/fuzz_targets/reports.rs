//! Packets of a sandbox, as the kernel's log gives their beginning; and messages that are none.
#![no_main]

#[path = "reports/headers.rs"]
mod headers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headers::check(data);
});
