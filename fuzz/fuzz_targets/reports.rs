//! Packets of a sandbox, as the kernel's log gives their beginning; what the kernel records of denials; and messages that are
//! neither.
#![no_main]

#[path = "reports/headers.rs"]
mod headers;
#[path = "reports/records.rs"]
mod records;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    headers::check(data);
    records::check(data);
});
