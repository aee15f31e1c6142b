//! zviz
fn main() {}
