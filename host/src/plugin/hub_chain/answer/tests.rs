use super::*;

const BOUNDS: Bounds = Bounds { message: 8 };

fn text(text: &str) -> WitMessage {
    WitMessage::Text(text.to_owned())
}

fn reply(words: &str) -> WitAction {
    WitAction::Reply(text(words))
}

fn said(words: &str) -> Action {
    Action::Reply(Message::Text(words.to_owned()))
}

fn close(code: u16, reason: &str) -> WitAction {
    let reason = reason.to_owned();
    WitAction::Close(Closing { code, reason })
}

fn name(name: &str) -> Arc<str> {
    name.into()
}

#[test]
fn what_stands_after_forward_is_done_on_the_way_out() {
    let mut steps = Steps::default();
    let outer = vec![reply("1"), WitAction::Forward, reply("5")];
    let inner = vec![reply("2"), WitAction::Forward, reply("4")];
    assert!(matches!(steps.add(&name("outer"), outer), Onward::Same));
    assert!(matches!(steps.add(&name("inner"), inner), Onward::Same));
    steps.pass(text("3"));
    assert_eq!(
        steps.finish(&Bytes::new()),
        [said("1"), said("2"), Action::Forward, said("4"), said("5")]
    );
}

#[test]
fn a_message_that_was_replaced_goes_on_as_the_last_plugin_left_it() {
    let mut steps = Steps::default();
    let outer = vec![WitAction::Replace(text("new"))];
    assert!(matches!(
        steps.add(&name("outer"), outer),
        Onward::Replaced(WitMessage::Text(text)) if text == "new"
    ));
    assert!(matches!(
        steps.add(&name("inner"), vec![WitAction::Forward]),
        Onward::Same
    ));
    steps.pass(text("new"));
    let replaced = Action::Replace(Message::Text("new".to_owned()));
    assert_eq!(steps.finish(&Bytes::new()), [replaced]);
}

#[test]
fn a_message_that_is_not_forwarded_ends_and_outer_plugins_get_their_way_out() {
    for end in [vec![], vec![WitAction::Drop]] {
        let mut steps = Steps::default();
        steps.add(&name("outer"), vec![WitAction::Forward, reply("out")]);
        assert!(matches!(steps.add(&name("inner"), end), Onward::Ends));
        assert_eq!(steps.finish(&Bytes::new()), [said("out")]);
    }
}

#[test]
fn nothing_comes_after_a_close_of_whichever_layer() {
    let mut steps = Steps::default();
    let outer = vec![
        WitAction::SetState(b"kept".to_vec()),
        WitAction::Forward,
        WitAction::SetState(b"too late".to_vec()),
        reply("late"),
    ];
    steps.add(&name("outer"), outer);
    let inner = vec![close(4000, "bye"), WitAction::Forward, reply("late")];
    assert!(matches!(steps.add(&name("inner"), inner), Onward::Ends));
    let all = steps.finish(&Bytes::new());
    let [Action::SetState(state), Action::Close(4000, reason)] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!(
        (reason.as_str(), hub_state::of(state, "outer")),
        ("bye", "kept".into())
    );
}

#[test]
fn each_plugins_state_is_kept_beside_the_others() {
    let before = hub_state::with(&Bytes::new(), "other", b"0");
    let mut steps = Steps::default();
    let first = WitAction::SetState(b"1".to_vec());
    let second = WitAction::SetState(b"2".to_vec());
    steps.add(&name("a"), vec![first, second, WitAction::Forward]);
    steps.add(&name("b"), vec![WitAction::SetState(b"3".to_vec())]);
    let all = steps.finish(&before);
    let [Action::SetState(state)] = &all[..] else {
        panic!("{all:?}");
    };
    for (plugin, expected) in [("a", "2"), ("b", "3"), ("other", "0")] {
        assert_eq!(hub_state::of(state, plugin), expected, "{plugin}");
    }
}

#[test]
fn answers_that_are_unusable() {
    let long = "x".repeat(129);
    let many = vec![WitAction::Drop; MOST + 1];
    let to = |name: &str| WitAction::Publish((name.to_owned(), text("x")));
    for (actions, expected) in [
        (many, "1001 actions"),
        (vec![reply("nine byte")], "a message of 9 bytes"),
        (
            vec![WitAction::Replace(text("nine byte"))],
            "a message of 9 bytes",
        ),
        (vec![to("")], "no name"),
        (vec![to("a\nb")], "no name"),
        (vec![to(&long)], "no name"),
        (
            vec![WitAction::SendTo((String::new(), text("x")))],
            "no name",
        ),
        (vec![WitAction::Join("\u{7f}".to_owned())], "no name"),
        (vec![WitAction::Leave(long.clone())], "no name"),
        (
            vec![WitAction::SetState(vec![0; hub_state::MOST + 1])],
            "a state of 16385 bytes",
        ),
        (
            vec![WitAction::Forward, WitAction::Forward],
            "goes on twice",
        ),
        (
            vec![WitAction::Forward, WitAction::Replace(text("x"))],
            "goes on twice",
        ),
        (vec![close(1005, "")], "the code 1005"),
        (vec![close(1006, "")], "the code 1006"),
        (vec![close(1015, "")], "the code 1015"),
        (vec![close(999, "")], "the code 999"),
        (vec![close(2999, "")], "the code 2999"),
        (vec![close(5000, "")], "the code 5000"),
        (vec![close(1000, &"é".repeat(62))], "a reason of 124 bytes"),
    ] {
        let error = BOUNDS.actions(actions.clone()).unwrap_err().to_string();
        assert!(error.contains(expected), "{actions:?}: {error}");
        assert!(!error.contains("a\nb"), "{error}");
    }
    let most = vec![WitAction::Drop; MOST];
    for actions in [most, vec![close(1000, &"x".repeat(123)), close(4999, "")]] {
        assert!(BOUNDS.actions(actions).is_ok());
    }
}

fn welcome(id: Option<&str>, rooms: &[&str]) -> WitWelcome {
    WitWelcome {
        client_id: id.map(str::to_owned),
        rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
        subprotocol: None,
        state: Vec::new(),
        greetings: Vec::new(),
    }
}

#[test]
fn the_first_id_and_subprotocol_count_and_all_rooms_greetings_and_states() {
    let mut all = Welcome::default();
    let mut first = welcome(None, &["a", "b"]);
    first.state = b"1".to_vec();
    first.greetings = vec![text("one")];
    let mut second = welcome(Some("ann"), &["b", "c"]);
    second.subprotocol = Some("v1".to_owned());
    second.state = b"2".to_vec();
    second.greetings = vec![text("two")];
    let mut third = welcome(Some("bob"), &[]);
    third.subprotocol = Some("v2".to_owned());
    for (plugin, theirs) in [("first", first), ("second", second), ("third", third)] {
        BOUNDS.welcome(&mut all, theirs, plugin, |_| true).unwrap();
    }
    assert_eq!(
        (all.client_id.as_deref(), all.subprotocol.as_deref()),
        (Some("ann"), Some("v1"))
    );
    assert_eq!(all.rooms, ["a", "b", "c"]);
    let texts = ["one", "two"].map(|text| Message::Text(text.to_owned()));
    assert_eq!(all.greetings, texts);
    assert_eq!(hub_state::of(&all.state, "first"), "1");
    assert_eq!(hub_state::of(&all.state, "second"), "2");
}

#[test]
fn welcomes_that_are_unusable_leave_nothing() {
    let with = |change: fn(&mut WitWelcome)| {
        let mut theirs = welcome(Some("ann"), &["a"]);
        theirs.state = b"1".to_vec();
        change(&mut theirs);
        theirs
    };
    for (theirs, expected) in [
        (with(|one| one.client_id = Some(String::new())), "no name"),
        (
            with(|one| one.client_id = Some("a\r\n".to_owned())),
            "no name",
        ),
        (with(|one| one.rooms.push(String::new())), "no name"),
        (
            with(|one| one.rooms = vec!["a".to_owned(); MOST + 1]),
            "1001 rooms",
        ),
        (
            with(|one| one.greetings = vec![text("x"); MOST + 1]),
            "1001 greetings",
        ),
        (
            with(|one| one.greetings = vec![text("nine byte")]),
            "a message of 9 bytes",
        ),
        (
            with(|one| one.state = vec![0; hub_state::MOST + 1]),
            "a state of 16385 bytes",
        ),
        (
            with(|one| one.subprotocol = Some("v2".to_owned())),
            "has not offered",
        ),
    ] {
        let mut all = Welcome::default();
        let result = BOUNDS.welcome(&mut all, theirs, "p", |name| name == "v1");
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(all, Welcome::default(), "{expected}");
    }
}

#[test]
fn of_who_has_gone_only_words_to_others_are_left() {
    let actions = vec![
        reply("x"),
        WitAction::Publish(("a".to_owned(), text("x"))),
        WitAction::Join("a".to_owned()),
        WitAction::SendTo(("ann".to_owned(), text("y"))),
        WitAction::Forward,
        close(1000, ""),
    ];
    let left: Vec<Action> = of_who_has_gone(actions).collect();
    assert_eq!(
        left,
        [
            Action::Publish("a".to_owned(), Message::Text("x".to_owned())),
            Action::SendTo("ann".to_owned(), Message::Text("y".to_owned())),
        ]
    );
}
