//! A good component of another world: it exports nothing that the gateway knows.

mod bindings {
    #![allow(
        unsafe_code,
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic
    )]
    wit_bindgen::generate!({
        inline: "
            package test:unrelated;
            interface greeter { greet: func() -> string; }
            world unrelated { export greeter; }
        ",
    });

    #[cfg(target_family = "wasm")]
    export!(Greeter with_types_in self);
    #[cfg(target_family = "wasm")]
    use super::Greeter;
}

/// Greets whoever calls.
#[derive(Debug)]
pub struct Greeter;

impl bindings::exports::test::unrelated::greeter::Guest for Greeter {
    fn greet() -> String {
        "hello".to_owned()
    }
}
