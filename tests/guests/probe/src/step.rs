//! What the probe can do with a head.

use std::cell::Cell;
use std::collections::BTreeMap;

use sluicegate_plugin::prelude::*;
use sluicegate_plugin::{EditError, Headers};

use crate::hostile::{self, misbehave};

/// The head that a hook works on.
pub(crate) enum Head<'a> {
    Request(&'a Request),
    Response(&'a Request, &'a Response),
}

/// What the steps came to.
pub(crate) enum Done {
    Forward,
    Reply(Reply),
}

/// One thing to do. Edits put `ok` or their error into the field `x-outcome`.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Step {
    /// The steps after this one are for requests with this field only.
    OnlyWith {
        header: String,
    },
    SetHeader {
        name: String,
        value: String,
    },
    AppendHeader {
        name: String,
        value: String,
    },
    RemoveHeader {
        name: String,
    },
    /// In one call. Each edit is a list: what to do, the field's name, and its value where there is one.
    EditHeaders {
        edits: Vec<Vec<String>>,
    },
    SetMethod {
        value: String,
    },
    SetPath {
        value: String,
    },
    SetQuery {
        value: Option<String>,
    },
    SetAuthority {
        value: String,
    },
    SetUpstream {
        value: String,
    },
    /// The balancing key is the value of this field.
    SetBalanceKey {
        header: String,
    },
    SetStatus {
        status: u16,
    },
    /// An edit of the request, whichever hook this is.
    SetRequestHeader {
        name: String,
        value: String,
    },
    SetNote {
        name: String,
        value: String,
    },
    /// The field gets the note's value, or `-`.
    ShowNote {
        name: String,
        header: String,
    },
    /// The field gets what the request's getter of this name says.
    Show {
        what: String,
        header: String,
    },
    /// The field gets how often this instance's `direct` was called.
    ShowCalls {
        header: String,
    },
    Reply {
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        body: String,
    },
    Fail {
        text: String,
    },
    Panic {
        text: String,
    },
    /// Computes without end.
    Spin,
    /// Computes without end once it is so many milliseconds after 1970.
    SpinAfter {
        milliseconds: u64,
    },
    /// Computes for so long.
    Compute {
        milliseconds: u64,
    },
    /// Allocates, and touches, so many bytes.
    Grow {
        bytes: usize,
    },
    Sleep {
        milliseconds: u64,
    },
    /// To standard output and standard error.
    Print {
        text: String,
    },
    Log {
        text: String,
    },
    Count {
        metric: String,
    },
    /// A field whose value has so many bytes.
    SetLarge {
        bytes: usize,
    },
    /// So many edits in one call.
    EditMany {
        count: usize,
    },
    /// An answer with so many fields of so many bytes each.
    ReplyMany {
        count: usize,
        bytes: usize,
    },
    /// An answer with a body of so many bytes.
    ReplyLarge {
        bytes: usize,
    },
    /// Calls itself without end.
    Recurse,
    /// Logs and prints so many lines.
    Flood {
        lines: usize,
    },
    /// A log message and names of metrics, of fields and of notes, all of so many bytes.
    Names {
        bytes: usize,
    },
    /// An error with a text of so many bytes.
    FailLarge {
        bytes: usize,
    },
    /// Ends the process that it takes itself for.
    Exit,
    /// New names of metrics, so many.
    CountMany {
        names: usize,
    },
}

pub(crate) fn run(steps: &[Step], head: &Head<'_>, calls: &Cell<u64>) -> Result<Done> {
    for step in steps {
        match step {
            Step::OnlyWith { header } if head.request().header(header).is_none() => break,
            Step::Reply {
                status,
                headers,
                body,
            } => {
                let reply = Reply::new(*status).body(body.as_bytes());
                let add = |reply: Reply, (name, value): (&String, &String)| {
                    reply.header(name.as_str(), value)
                };
                return Ok(Done::Reply(headers.iter().fold(reply, add)));
            }
            Step::ReplyMany { count, bytes } => {
                return Ok(Done::Reply(hostile::reply_of_fields(*count, *bytes)));
            }
            Step::ReplyLarge { bytes } => {
                return Ok(Done::Reply(Reply::new(200).body(vec![b'x'; *bytes])));
            }
            Step::ShowCalls { header } => {
                head.fields()
                    .set_header(header, calls.get().to_string().as_bytes())?;
            }
            step => head.one(step)?,
        }
    }
    Ok(Done::Forward)
}

fn header_edit(edit: &[String]) -> Option<HeaderEdit> {
    let field = |name: &String, value: &String| (name.clone(), value.clone().into_bytes());
    Some(match edit {
        [what, name, value] if what == "set" => HeaderEdit::Set(field(name, value)),
        [what, name, value] if what == "append" => HeaderEdit::Append(field(name, value)),
        [what, name, value] if what == "default" => HeaderEdit::Default(field(name, value)),
        [what, name] if what == "remove" => HeaderEdit::Remove(name.clone()),
        _ => return None,
    })
}

impl Head<'_> {
    fn request(&self) -> &Request {
        match self {
            Self::Request(request) | Self::Response(request, _) => request,
        }
    }

    fn fields(&self) -> &dyn Headers {
        match self {
            Self::Request(request) => *request,
            Self::Response(_, response) => *response,
        }
    }

    fn outcome(&self, edit: &Result<(), EditError>) -> Result<()> {
        let text = match edit {
            Ok(()) => "ok",
            Err(EditError::InvalidName) => "invalid-name",
            Err(EditError::InvalidValue) => "invalid-value",
            Err(EditError::Forbidden(_)) => "forbidden",
            Err(EditError::TooLarge) => "too-large",
        };
        Ok(self.fields().append_header("x-outcome", text.as_bytes())?)
    }

    fn one(&self, step: &Step) -> Result<()> {
        let request = self.request();
        match step {
            Step::SetHeader { name, value } => {
                self.outcome(&self.fields().set_header(name, value.as_bytes()))?;
            }
            Step::AppendHeader { name, value } => {
                self.fields().append_header(name, value.as_bytes())?;
            }
            Step::EditHeaders { edits } => {
                let edits: Vec<HeaderEdit> =
                    edits.iter().filter_map(|edit| header_edit(edit)).collect();
                self.outcome(&self.fields().edit_headers(&edits))?;
            }
            Step::SetLarge { bytes } => {
                let value = vec![b'x'; *bytes];
                self.outcome(&self.fields().set_header("x-large", &value))?;
            }
            Step::EditMany { count } => {
                self.outcome(&self.fields().edit_headers(&hostile::edits(*count)))?;
            }
            Step::Names { bytes } => {
                let name = "n".repeat(*bytes);
                request.set_note(&name, name.as_bytes());
                self.outcome(&self.fields().set_header(&name, b"1"))?;
                misbehave(step)?;
            }
            Step::RemoveHeader { name } => self.fields().remove_header(name),
            Step::SetMethod { value } => self.outcome(&request.set_method(value))?,
            Step::SetPath { value } => self.outcome(&request.set_path(value))?,
            Step::SetQuery { value } => self.outcome(&request.set_query(value.as_deref()))?,
            Step::SetAuthority { value } => self.outcome(&request.set_authority(value))?,
            Step::SetUpstream { value } => self.outcome(&request.set_upstream(value))?,
            Step::SetBalanceKey { header } => {
                if let Some(key) = request.header(header) {
                    request.set_balance_key(&key);
                }
            }
            Step::SetStatus { status } => {
                if let Self::Response(_, response) = self {
                    self.outcome(&response.set_status(*status))?;
                }
            }
            Step::SetRequestHeader { name, value } => {
                self.outcome(&request.set_header(name, value.as_bytes()))?;
            }
            Step::SetNote { name, value } => request.set_note(name, value.as_bytes()),
            Step::ShowNote { name, header } => {
                let note = match self {
                    Self::Request(request) => request.note(name),
                    Self::Response(_, response) => response.note(name),
                };
                let value = note.unwrap_or_else(|| b"-".to_vec());
                self.fields().append_header(header, &value)?;
            }
            Step::Show { what, header } => {
                self.fields()
                    .set_header(header, self.shown(what).as_bytes())?;
            }
            step => misbehave(step)?,
        }
        Ok(())
    }

    fn shown(&self, what: &str) -> String {
        let request = self.request();
        match what {
            "method" => request.method(),
            "path" => request.path(),
            "query" => request.query().unwrap_or_else(|| "-".to_owned()),
            "authority" => request.authority(),
            "scheme" => request.scheme(),
            "route" => request.route(),
            "client-address" => request.client_address(),
            "client-subject" => request.client_subject().unwrap_or_else(|| "-".to_owned()),
            "request-id" => request.request_id(),
            "status" => match self {
                Self::Request(_) => "-".to_owned(),
                Self::Response(_, response) => response.status().to_string(),
            },
            parameter => request
                .path_parameter(parameter)
                .unwrap_or_else(|| "-".to_owned()),
        }
    }
}
