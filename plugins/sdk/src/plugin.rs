//! The traits that a plugin implements: [`Plugin`] for its configuration, and one trait for each hook.

use crate::error::Result;
use serde::de::DeserializeOwned;

pub use crate::bindings::director_hook::exports::sluicegate::plugin::director::Direction;
pub use crate::bindings::modifier_hook::exports::sluicegate::plugin::modifier::Change;
pub use crate::bindings::sluicegate::plugin::http::{
    BodyKind, HeaderEdit, Reply, Request, Response,
};

/// A plugin as its configuration made it. One value serves all exchanges of an instance, one after the other.
///
/// What a plugin keeps in itself (in a `Cell`, say) lives as long as the instance, and the gateway makes and drops
/// instances as it likes: several per worker, each with its own value. What belongs to one exchange goes into its
/// notes ([`Request::set_note`]).
pub trait Plugin: Sized + 'static {
    /// The plugin's table in the gateway's TOML file. Use `#[serde(deny_unknown_fields)]`, so that a misspelt key is
    /// refused when the file is loaded; [`NoConfig`](crate::NoConfig) is for plugins that have nothing to configure.
    type Config: DeserializeOwned;

    /// Makes the plugin of its configuration: everything that can be checked or compiled beforehand belongs here.
    ///
    /// It runs once for each instance, and once before a configuration is accepted at all: an error here refuses
    /// the configuration, and its text is shown under the TOML key that the table stands at; one that begins with
    /// a key's path and a colon (`rules[0].to: no such host`) under that key, with its line.
    fn new(config: Self::Config) -> Result<Self>;

    /// Whether this configuration leaves a hook something to do. Asked right after [`new`](Self::new), once for each
    /// hook that the plugin exports: one that is not needed is never called, and costs nothing.
    fn needs(&self, hook: Hook) -> bool {
        let _ = hook;
        true
    }

    /// Which bodies a hook of bodies is for, where that is known beforehand: about those the gateway does not ask
    /// [`RequestBody::open`] or [`ResponseBody::open`]. Asked right after [`new`](Self::new), for hooks that are needed.
    fn interest(&self, hook: Hook) -> Option<Interest> {
        let _ = hook;
        None
    }
}

/// Bodies that need no `open`, for [`Plugin::interest`].
///
/// A body of another type, or without a `content-type`, is never shown to the plugin. A body of these types goes to
/// `receive` at once where its length is known and within the limit, it has no `content-encoding`, and it is not part of
/// a representation (206, `content-range`). About all others, messages without a body among them, `open` is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Media types (`text/html`), families (`text/*`), suffixes (`+json`) or `*/*`; without parameters.
    pub types: Vec<String>,
    /// The longest body that is collected, in bytes.
    pub limit: u64,
}

/// The hooks, for [`Plugin::needs`]; named as their traits. [`Hub`](crate::Hub) has three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hook {
    /// The request's head.
    Director,
    /// The request's body.
    RequestBody,
    /// The response's head.
    Modifier,
    /// The response's body.
    ResponseBody,
    /// [`Hub::connect`](crate::Hub::connect)
    HubConnect,
    /// [`Hub::message`](crate::Hub::message)
    HubMessage,
    /// [`Hub::disconnect`](crate::Hub::disconnect)
    HubDisconnect,
}

/// The request phase: decides what becomes of a request.
pub trait Director: Plugin {
    /// Looks at the request's head and edits it through the handle; then it goes on
    /// ([`Direction::Forward`]) or is answered here ([`Direction::Reply`]).
    fn direct(&self, request: &Request) -> Result<Direction>;
}

/// The response phase: changes what comes back. It sees every status that an upstream sent and replies of plugins
/// further in, not the answers that the gateway makes itself (502, 504 and the like).
pub trait Modifier: Plugin {
    /// Looks at the response's head and edits it through the handle. The request can be read, not changed any more.
    fn modify(&self, request: &Request, response: &Response) -> Result<Change>;
}

/// The request's body. Comes right after the same plugin's [`Director::direct`].
pub trait RequestBody: Plugin {
    /// Decides how much of this body the plugin wants.
    fn open(&self, request: &Request, body: BodyKind) -> Result<Plan>;

    /// The whole body, after [`Plan::Collect`]; the head can still be changed.
    fn receive(&self, request: &Request, body: Vec<u8>) -> Result<Verdict> {
        let _ = (request, body);
        Ok(Verdict::Unchanged)
    }
}

/// The response's body. Comes right after the same plugin's [`Modifier::modify`].
pub trait ResponseBody: Plugin {
    /// Decides how much of this body the plugin wants.
    fn open(&self, request: &Request, response: &Response, body: BodyKind) -> Result<Plan>;

    /// The whole body, after [`Plan::Collect`]; the head can still be changed.
    fn receive(&self, request: &Request, response: &Response, body: Vec<u8>) -> Result<Verdict> {
        let _ = (request, response, body);
        Ok(Verdict::Unchanged)
    }
}

/// What a plugin wants of a body.
pub enum Plan {
    /// Untouched: it streams through and the plugin never sees it.
    Pass,
    /// Chunk by chunk through the transform, while the head has gone ahead (the length becomes unknown).
    Stream(Box<dyn Transform>),
    /// The whole body, up to that many bytes. A longer request is answered with 413; a longer response counts as
    /// the plugin's failure.
    Collect(u64),
}

impl Plan {
    /// Chunk by chunk through `transform`.
    pub fn stream(transform: impl Transform + 'static) -> Self {
        Self::Stream(Box::new(transform))
    }
}

/// What becomes of a body that was collected.
#[derive(Debug)]
pub enum Verdict {
    /// It goes on as it came.
    Unchanged,
    /// This goes on in its place; the gateway sets the length.
    Replace(Vec<u8>),
    /// The exchange is answered with this instead.
    Reply(Reply),
}

/// One body on its way. What the methods return takes the place of what came in.
///
/// An error breaks the exchange off: the head has gone ahead, so the peer sees a body that ends too early.
pub trait Transform {
    /// The next bytes of the body. They may be cut anywhere; returning nothing for now is fine.
    fn push(&mut self, chunk: Vec<u8>) -> Result<Vec<u8>>;

    /// The body has ended: what is still held back.
    fn finish(&mut self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

impl Reply {
    /// An answer without a body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// An answer with a line of plain text.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        let body: String = body.into();
        Self {
            body: body.into_bytes(),
            ..Self::new(status)
        }
        .header("content-type", "text/plain; charset=utf-8")
    }

    /// The same answer with one more header field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// The same answer with this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl From<Reply> for Direction {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl From<Reply> for Change {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl From<Reply> for Verdict {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_built_in_one_line() {
        let reply = Reply::text(403, "no").header("x-why", "tenant");
        assert_eq!(reply.status, 403);
        assert_eq!(reply.body, b"no");
        assert_eq!(reply.headers.len(), 2);
        assert!(matches!(
            Direction::from(reply),
            Direction::Reply(Reply { status: 403, .. })
        ));
    }
}
