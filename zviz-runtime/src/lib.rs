//! zviz-runtime
