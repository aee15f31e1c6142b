//! Any policy, and variants of the default one: what the compiled program answers is what the policy decides.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zviz_seccomp::fuzz_policy(data));
