//! What a plugin looks like to who does not use the SDK: generated bindings and two functions.
//! It exports `director` and nothing after it.

mod bindings {
    #![allow(
        unsafe_code,
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic
    )]
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "director-plugin",
    });

    #[cfg(target_family = "wasm")]
    export!(Marker with_types_in self);
    #[cfg(target_family = "wasm")]
    use super::Marker;
}

use bindings::exports::sluicegate::plugin::{director, lifecycle};
use bindings::sluicegate::plugin::http::Request;

/// Marks each request that it sees.
#[derive(Debug)]
pub struct Marker;

impl lifecycle::Guest for Marker {
    fn configure(_: String) -> Result<(), String> {
        Ok(())
    }
}

impl director::Guest for Marker {
    fn direct(request: &Request) -> Result<director::Direction, String> {
        request
            .append_header("x-in", b"director-only")
            .map_err(|error| error.to_string())?;
        Ok(director::Direction::Forward)
    }
}
