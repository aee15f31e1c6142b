//! zviz-broker
