//! Any bytes as a seccomp program, as they are read back from the cache: refused, or it answers any call.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zviz_seccomp::fuzz_program(data));
