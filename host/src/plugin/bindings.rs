//! The contract in Rust: generated from `wit/`, nothing else.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
#![allow(unsafe_code)] // the generated code calls typed functions without a second type check

/// The host's side of `http.request`: there is one request in a store at a time, so the handle
/// carries nothing.
#[derive(Debug)]
pub struct RequestHandle;

/// The host's side of `http.response`.
#[derive(Debug)]
pub struct ResponseHandle;

/// The host's side of `hub-types.client`: there is one client in a store at a time as well.
#[derive(Debug)]
pub struct ClientHandle;

wasmtime::component::bindgen!({
    path: "../wit",
    world: "full",
    with: {
        "sluicegate:plugin/http.request": RequestHandle,
        "sluicegate:plugin/http.response": ResponseHandle,
        "sluicegate:plugin/hub-types.client": ClientHandle,
    },
});
