//! What a workload passes to a system call, as a record of the audit log.
#![no_main]

#[path = "audit/record.rs"]
mod record;

libfuzzer_sys::fuzz_target!(|data: &[u8]| record::check(data));
