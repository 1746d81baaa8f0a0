//! A director that asks for an interface of its own at run time.

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
        inline: "
            package test:foreign;
            interface secrets { get: func() -> string; }
            world foreign {
                import secrets;
                include sluicegate:plugin/director-plugin@0.1.0;
            }
        ",
        generate_all,
    });

    #[cfg(target_family = "wasm")]
    export!(Foreign with_types_in self);
    #[cfg(target_family = "wasm")]
    use super::Foreign;
}

use bindings::exports::sluicegate::plugin::{director, lifecycle};
use bindings::sluicegate::plugin::http::Request;
use bindings::test::foreign::secrets;

/// Tells the upstream a secret that nobody gives it.
#[derive(Debug)]
pub struct Foreign;

impl lifecycle::Guest for Foreign {
    fn configure(_: String) -> Result<(), String> {
        Ok(())
    }
}

impl director::Guest for Foreign {
    fn direct(request: &Request) -> Result<director::Direction, String> {
        request
            .set_header("x-secret", secrets::get().as_bytes())
            .map_err(|error| error.to_string())?;
        Ok(director::Direction::Forward)
    }
}
