//! What `wit/` says, as Rust: nothing but the generated code lives here.
//!
//! The imports are generated once. Each hook has a world of its own, whose `http` is that of the imports: so one
//! `Request` type serves every hook, and a component exports exactly the hooks that [`export!`](crate::export)
//! names.
#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused_imports,
    clippy::all,
    clippy::pedantic
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "imports",
    // Written by hand for a Display that a person can read.
    with: { "sluicegate:plugin/http@0.1.0/edit-error": crate::error::EditError },
    // So that tests of plugins can compare what a hook says.
    additional_derives: [PartialEq, Eq],
    generate_all,
});

/// The capabilities, which have to be granted.
pub mod publisher {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "publisher",
        with: {
            "sluicegate:plugin/hub-types@0.1.0": crate::bindings::sluicegate::plugin::hub_types,
            "sluicegate:plugin/hub-publish@0.1.0/send-error": crate::error::SendError,
        },
        generate_all,
    });
}

/// The module and the export macro of one hook's world.
macro_rules! hook {
    ($module:ident, $world:literal, $export:literal, { $($with:tt)* }, [$($derived:ident),*]) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                world: $world,
                with: { $($with)* },
                additional_derives: [$($derived),*],
                pub_export_macro: true,
                export_macro_name: $export,
            });
        }
    };
    ($module:ident, $world:literal, $export:literal) => {
        hook!($module, $world, $export, {
            "sluicegate:plugin/http@0.1.0": crate::bindings::sluicegate::plugin::http
        }, []);
    };
}

hook!(lifecycle_hook, "lifecycle-hook", "export_lifecycle", {}, []);
hook!(director_hook, "director-hook", "export_director");
hook!(modifier_hook, "modifier-hook", "export_modifier");
hook!(
    request_body_hook,
    "request-body-hook",
    "export_request_body"
);
hook!(
    response_body_hook,
    "response-body-hook",
    "export_response_body"
);
hook!(hub_hook, "hub-hook", "export_hub", {
    "sluicegate:plugin/http@0.1.0": crate::bindings::sluicegate::plugin::http,
    "sluicegate:plugin/hub-types@0.1.0": crate::bindings::sluicegate::plugin::hub_types
}, [PartialEq, Eq]);
