//! Lines in the gateway's own log, marked with the plugin's name and the exchange's request id.
//!
//! ```no_run
//! use sluicegate_plugin::log;
//! # let tenant = "acme";
//! log::info!("no quota left for {tenant}");
//! ```

pub use crate::bindings::sluicegate::plugin::log::{Level, enabled, write};
pub use crate::{
    __debug as debug, __error as error, __info as info, __log as at, __trace as trace,
    __warn as warn,
};

/// Writes a line of the level given, formatted as by `format!`, and only if such a line would be written at all.
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:expr, $($arg:tt)+) => {{
        let level = $level;
        if $crate::log::enabled(level) {
            $crate::log::write(level, &::std::format!($($arg)+));
        }
    }};
}

/// Writes a line of the level error, formatted as by `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __error { ($($arg:tt)+) => { $crate::__log!($crate::log::Level::Error, $($arg)+) }; }

/// Writes a line of the level warn, formatted as by `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __warn { ($($arg:tt)+) => { $crate::__log!($crate::log::Level::Warn, $($arg)+) }; }

/// Writes a line of the level info, formatted as by `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __info { ($($arg:tt)+) => { $crate::__log!($crate::log::Level::Info, $($arg)+) }; }

/// Writes a line of the level debug, formatted as by `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __debug { ($($arg:tt)+) => { $crate::__log!($crate::log::Level::Debug, $($arg)+) }; }

/// Writes a line of the level trace, formatted as by `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __trace { ($($arg:tt)+) => { $crate::__log!($crate::log::Level::Trace, $($arg)+) }; }
