//! Guests that no compiler would make, written by hand: they use handles that they were never given, results that
//! are none, and allocators that never return.

use super::{LONG, SHORT, Siege};
use crate::command_line::Folder;

/// An allocator that never returns.
const ENDLESS: &str = "(loop (br 0)) (unreachable)";
/// One that gives memory that is not there.
const OUTSIDE: &str = "(i32.const 0x7fff0000)";
/// One that does its work.
const PLAIN: &str = "(i32.const 8192)";

const CALL_PATH: &str = "(call $path (local.get $request) (i32.const 128))";
const DROP: &str = "(call $drop (local.get $request))";

/// A component whose `direct` is these instructions, and with this allocator for what host functions return.
fn besieged_by(limits: &str, result_realloc: &str, direct: &str) -> (Folder, Siege) {
    let text = include_str!("frame.wat")
        .replace("{result-realloc}", result_realloc)
        .replace("{direct}", direct);
    let component = wat::parse_str(text).unwrap();
    let folder = Folder::with("p.wasm", component);
    let file = folder.path("p.wasm");
    let siege = Siege::lay(&format!("[plugins.p]\ncomponent = \"{file}\"\n{limits}"));
    (folder, siege)
}

#[track_caller]
fn fails(limits: &str, result_realloc: &str, direct: &str) {
    let (_folder, siege) = besieged_by(limits, result_realloc, direct);
    siege.fails(direct);
}

#[test]
fn the_frame_itself_is_a_plugin_that_works() {
    let direct = format!("{CALL_PATH} {DROP}");
    let (_folder, siege) = besieged_by(LONG, PLAIN, &direct);
    assert_eq!(siege.send().text(), "hello");
    assert_eq!(siege.arrived().len(), 1);
    siege.end();
}

#[test]
fn an_allocator_that_never_returns_while_the_host_hands_over_a_result() {
    fails(SHORT, ENDLESS, &format!("{CALL_PATH} {DROP}"));
}

#[test]
fn an_allocator_that_gives_memory_that_is_not_there() {
    fails(LONG, OUTSIDE, &format!("{CALL_PATH} {DROP}"));
}

#[test]
fn a_handle_that_was_never_given_out() {
    for number in ["0", "77", "-1", "0x7fffffff"] {
        let direct = format!("(call $path (i32.const {number}) (i32.const 128)) {DROP}");
        fails(LONG, PLAIN, &direct);
        fails(LONG, PLAIN, &format!("(call $drop (i32.const {number}))"));
    }
}

#[test]
fn a_handle_that_was_given_back_and_one_that_is_kept_beyond_its_call() {
    fails(LONG, PLAIN, &format!("{DROP} {CALL_PATH}"));
    fails(LONG, PLAIN, &format!("{DROP} {DROP}"));
    fails(LONG, PLAIN, CALL_PATH);
}

#[test]
fn a_request_in_the_place_of_a_response() {
    let direct = format!("(drop (call $status (local.get $request))) {DROP}");
    fails(LONG, PLAIN, &direct);
}

#[test]
fn results_that_are_none() {
    // The place to put a path at, and the place of the result: not in memory, or not where they may stand.
    for place in ["-4", "0x7ffffffc", "129"] {
        let direct = format!("(call $path (local.get $request) (i32.const {place})) {DROP}");
        fails(LONG, PLAIN, &direct);
        fails(LONG, PLAIN, &format!("{DROP} (return (i32.const {place}))"));
    }
    // A case that the result does not have.
    fails(
        LONG,
        PLAIN,
        &format!("{DROP} (i32.store8 (i32.const 64) (i32.const 9))"),
    );
    // An error whose text lies outside of memory.
    let text = "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (i32.const -8))
        (i32.store (i32.const 72) (i32.const 1024))";
    fails(LONG, PLAIN, &format!("{DROP} {text}"));
}

#[test]
fn a_list_that_names_the_same_bytes_over_and_over() {
    // 4096 fields whose names and values are all the first 64 KiB of memory: half a gibibyte, were it copied.
    let list = "(loop $next
        (i32.store offset=65540 (i32.mul (local.get $i) (i32.const 16)) (i32.const 65536))
        (i32.store offset=65548 (i32.mul (local.get $i) (i32.const 16)) (i32.const 65536))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $i) (i32.const 4096))))";
    let reply =
        "(i32.store8 (i32.const 68) (i32.const 1)) (i32.store16 (i32.const 72) (i32.const 200))
        (i32.store (i32.const 76) (i32.const 65536)) (i32.store (i32.const 80) (i32.const 4096))";
    fails(LONG, PLAIN, &format!("{DROP} {list} {reply}"));
}
