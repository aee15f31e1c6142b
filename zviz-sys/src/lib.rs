//! zviz-sys
