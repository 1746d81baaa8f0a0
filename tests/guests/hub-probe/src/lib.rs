//! Does in each hook of a hub what its configuration says.
//!
//! ```toml
//! config = { connect = { rooms = ["a"] }, message = [{ do = "publish", room = "a", text = "hello" }, { do = "forward" }] }
//! ```

use std::cell::Cell;

use sluicegate_plugin::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// An error with this text refuses the configuration.
    refuse: Option<String>,
    /// In `connect`; absent: the hook is declined, as the others are where they have no steps.
    connect: Option<Connect>,
    #[serde(default)]
    message: Vec<Step>,
    #[serde(default)]
    disconnect: Vec<Step>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Connect {
    /// Only for requests whose query is this; others are accepted as they are.
    only_with: Option<String>,
    /// What goes wrong before anything else.
    first: Option<Step>,
    id: Option<String>,
    rooms: Vec<String>,
    subprotocol: Option<String>,
    state: Option<String>,
    greetings: Vec<String>,
    /// A status to reject with; the note of earlier plugins is its text.
    reject: Option<u16>,
    /// A note for later plugins.
    note: Option<String>,
    /// A greeting that says what an edit of the request came to, and what the request is like.
    show: bool,
    /// So many rooms, greetings, or bytes of state.
    many_rooms: usize,
    many_greetings: usize,
    state_bytes: usize,
}

/// One thing to do.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Step {
    /// The steps after this one are for messages with this text in them only.
    OnlyWith {
        text: String,
    },
    /// The client gets what this hook sees of it.
    Show,
    /// The same, to a room.
    ShowTo {
        room: String,
    },
    /// The client gets how often hooks of this instance were called.
    ShowCalls,
    Reply {
        text: String,
    },
    Publish {
        room: String,
        text: String,
    },
    SendTo {
        client: String,
        text: String,
    },
    Join {
        room: String,
    },
    Leave {
        room: String,
    },
    SetState {
        text: String,
    },
    Forward,
    Replace {
        text: String,
    },
    /// The message goes on with this before it.
    Prefix {
        text: String,
    },
    Drop,
    Close {
        code: u16,
        reason: String,
    },
    /// A line in the log.
    Log {
        text: String,
    },
    Fail {
        text: String,
    },
    Panic {
        text: String,
    },
    Spin,
    Sleep {
        milliseconds: u64,
    },
    Grow {
        bytes: usize,
    },
    /// So many actions.
    Many {
        count: usize,
    },
    /// An action with so many bytes.
    ReplyLarge {
        bytes: usize,
    },
    SetLarge {
        bytes: usize,
    },
    JoinLong {
        bytes: usize,
    },
    CloseLong {
        bytes: usize,
    },
}

struct Probe {
    config: Config,
    calls: Cell<u64>,
}

impl Plugin for Probe {
    type Config = Config;

    fn new(config: Config) -> Result<Self> {
        match &config.refuse {
            Some(text) => Err(text.clone().into()),
            None => Ok(Self {
                config,
                calls: Cell::new(0),
            }),
        }
    }

    fn needs(&self, hook: Hook) -> bool {
        match hook {
            Hook::HubConnect => self.config.connect.is_some(),
            Hook::HubMessage => !self.config.message.is_empty(),
            Hook::HubDisconnect => !self.config.disconnect.is_empty(),
            _ => false,
        }
    }
}

impl Hub for Probe {
    fn connect(&self, request: &Request) -> Result<Admission> {
        self.count();
        let mut welcome = Admission::accept();
        let Some(connect) = &self.config.connect else {
            return Ok(welcome.into());
        };
        if connect.only_with.is_some() && connect.only_with != request.query() {
            return Ok(welcome.into());
        }
        if let Some(step) = &connect.first {
            misbehave(step)?;
        }
        if let Some(note) = &connect.note {
            request.set_note("said", note.as_bytes());
        }
        if let Some(status) = connect.reject {
            let text = request.note_str("said").unwrap_or_default();
            return Ok(Reply::text(status, text).header("x-why", "probe").into());
        }
        if connect.show {
            let edit = request.set_header("x-edit", b"1");
            welcome = welcome.greeting(format!(
                "{} {} {} {} {edit:?}",
                request.method(),
                request.path(),
                request.client_address(),
                request.header_str("x-user").unwrap_or_default(),
            ));
        }
        if let Some(id) = &connect.id {
            welcome = welcome.id(id);
        }
        if let Some(subprotocol) = &connect.subprotocol {
            welcome = welcome.subprotocol(subprotocol);
        }
        if let Some(state) = &connect.state {
            welcome = welcome.state(state.as_bytes());
        }
        if connect.state_bytes > 0 {
            welcome = welcome.state(vec![0; connect.state_bytes]);
        }
        for greeting in &connect.greetings {
            welcome = welcome.greeting(greeting.as_str());
        }
        for _ in 0..connect.many_greetings {
            welcome = welcome.greeting("x");
        }
        let many = (0..connect.many_rooms).map(|room| room.to_string());
        Ok(welcome.rooms(&connect.rooms).rooms(many).into())
    }

    fn message(&self, client: &Client, message: Message) -> Result<Vec<Action>> {
        self.count();
        self.run(&self.config.message, client, Some(&message))
    }

    fn disconnect(&self, client: &Client, code: u16, reason: &str) -> Result<Vec<Action>> {
        self.count();
        let said = Message::from(format!("{code} {reason}"));
        self.run(&self.config.disconnect, client, Some(&said))
    }
}

impl Probe {
    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }

    fn run(
        &self,
        steps: &[Step],
        client: &Client,
        message: Option<&Message>,
    ) -> Result<Vec<Action>> {
        let text = message.and_then(Message::as_text).unwrap_or_default();
        let mut actions = Vec::new();
        for step in steps {
            actions.push(match step {
                Step::OnlyWith { text: wanted } if text.contains(wanted) => continue,
                Step::OnlyWith { .. } => {
                    actions.push(Action::Forward);
                    break;
                }
                Step::Show => Action::reply(shown(client, text)),
                Step::ShowTo { room } => Action::publish(room, shown(client, text)),
                Step::ShowCalls => Action::reply(self.calls.get().to_string()),
                Step::Reply { text } => Action::reply_text(text),
                Step::Publish { room, text } => Action::publish(room, text.as_str()),
                Step::SendTo { client, text } => Action::send_to(client, text.as_str()),
                Step::Join { room } => Action::join(room),
                Step::Leave { room } => Action::leave(room),
                Step::SetState { text } => Action::set_state(text.as_bytes()),
                Step::Forward => Action::Forward,
                Step::Replace { text } => Action::replace(text.as_str()),
                Step::Prefix { text: prefix } => Action::replace(format!("{prefix}{text}")),
                Step::Drop => Action::Drop,
                Step::Close { code, reason } => Action::close(*code, reason),
                Step::Many { count } => {
                    actions.extend((0..*count).map(|_| Action::Drop));
                    continue;
                }
                Step::ReplyLarge { bytes } => Action::reply(vec![b'x'; *bytes]),
                Step::SetLarge { bytes } => Action::set_state(vec![b'x'; *bytes]),
                Step::JoinLong { bytes } => Action::join("x".repeat(*bytes)),
                Step::CloseLong { bytes } => Action::close(1000, "x".repeat(*bytes)),
                step => {
                    misbehave(step)?;
                    continue;
                }
            });
        }
        Ok(actions)
    }
}

fn shown(client: &Client, text: &str) -> String {
    format!(
        "{}@{} rooms={} in-a={} state={} said={text}",
        client.id(),
        client.hub(),
        client.rooms().join(","),
        client.is_in("a"),
        String::from_utf8_lossy(&client.state()),
    )
}

// Misbehaving is what these are for.
#[allow(clippy::panic, clippy::empty_loop)]
fn misbehave(step: &Step) -> Result<()> {
    match step {
        Step::Fail { text } => return Err(text.clone().into()),
        Step::Panic { text } => panic!("{text}"),
        Step::Spin => loop {
            std::hint::black_box(());
        },
        Step::Sleep { milliseconds } => {
            std::thread::sleep(std::time::Duration::from_millis(*milliseconds));
        }
        Step::Grow { bytes } => {
            std::hint::black_box(vec![1_u8; *bytes]);
        }
        Step::Log { text } => log::warn!("{text}"),
        _ => {}
    }
    Ok(())
}

sluicegate_plugin::export!(Probe: Hub);
