//! zviz-seccomp
