//! What the probe can do with a body.

use sluicegate_plugin::Headers;
use sluicegate_plugin::prelude::*;

/// What to do with a body. The field `x-kind` of its head gets what `open` was told of it, by which a test
/// also sees that the hook was called at all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    plan: Planned,
    /// For `collect`, and with `only_for`.
    #[serde(default = "one_mebibyte")]
    limit: u64,
    /// Bodies about which the plugin need not be asked.
    #[serde(default)]
    only_for: Vec<String>,
    /// What `receive` does, or what the transform does with each piece.
    then: Then,
    /// For `replace`, `reply`, `suffix` and `fail`.
    #[serde(default)]
    text: String,
}

fn one_mebibyte() -> u64 {
    1 << 20
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Planned {
    Pass,
    Stream,
    Collect,
    /// `open` itself fails.
    Fail,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Then {
    Unchanged,
    Replace,
    Reply,
    /// Upper case, with the text after it.
    Suffix,
    /// Nothing is left of it.
    Swallow,
    Fail,
    Panic,
    Spin,
    /// These two only when the body ends.
    PanicAtEnd,
    SpinAtEnd,
    /// And this one when it is through.
    SpinWhenDropped,
    /// What comes out has no end.
    Swell,
}

pub(crate) fn interest(wish: Option<&Wish>) -> Option<Interest> {
    wish.filter(|wish| !wish.only_for.is_empty())
        .map(|wish| Interest {
            types: wish.only_for.clone(),
            limit: wish.limit,
        })
}

pub(crate) fn open(wish: Option<&Wish>, head: &dyn Headers, kind: BodyKind) -> Result<Plan> {
    let Some(wish) = wish else {
        return Ok(Plan::Pass);
    };
    let kind = match kind {
        BodyKind::None => "none",
        BodyKind::KnownLength => "known-length",
        BodyKind::Streaming => "streaming",
    };
    head.set_header("x-kind", kind.as_bytes())?;
    Ok(match wish.plan {
        Planned::Pass => Plan::Pass,
        Planned::Collect => Plan::Collect(wish.limit),
        Planned::Stream => Plan::stream(Stream {
            then: wish.then,
            text: wish.text.clone(),
        }),
        Planned::Fail => return Err(wish.text.clone().into()),
    })
}

pub(crate) fn receive(wish: Option<&Wish>, head: &dyn Headers, body: &[u8]) -> Result<Verdict> {
    let Some(wish) = wish else {
        return Ok(Verdict::Unchanged);
    };
    // The head can still be changed.
    head.set_header("x-received", body.len().to_string().as_bytes())?;
    Ok(match wish.then {
        Then::Replace => Verdict::Replace(wish.text.clone().into_bytes()),
        Then::Reply => Reply::text(418, wish.text.clone()).into(),
        Then::Suffix => {
            let mut body = body.to_ascii_uppercase();
            body.extend_from_slice(wish.text.as_bytes());
            Verdict::Replace(body)
        }
        Then::Swallow => Verdict::Replace(Vec::new()),
        Then::Unchanged => Verdict::Unchanged,
        failing => fail(failing, &wish.text)?,
    })
}

struct Stream {
    then: Then,
    text: String,
}

impl Transform for Stream {
    fn push(&mut self, mut chunk: Vec<u8>) -> Result<Vec<u8>> {
        Ok(match self.then {
            Then::Suffix => {
                chunk.make_ascii_uppercase();
                chunk
            }
            Then::Replace | Then::Swallow => Vec::new(),
            Then::Unchanged
            | Then::Reply
            | Then::PanicAtEnd
            | Then::SpinAtEnd
            | Then::SpinWhenDropped => chunk,
            failing => fail(failing, &self.text)?,
        })
    }

    fn finish(&mut self) -> Result<Vec<u8>> {
        Ok(match self.then {
            Then::Suffix | Then::Replace => self.text.clone().into_bytes(),
            Then::PanicAtEnd => fail(Then::Panic, &self.text)?,
            Then::SpinAtEnd => fail(Then::Spin, &self.text)?,
            _ => Vec::new(),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if matches!(self.then, Then::SpinWhenDropped) {
            let _: Result<()> = fail(Then::Spin, "");
        }
    }
}

#[allow(clippy::panic)]
fn fail<T>(then: Then, text: &str) -> Result<T> {
    match then {
        Then::Panic => panic!("{text}"),
        Then::Spin => loop {
            std::hint::black_box(());
        },
        Then::Swell => {
            let mut output = vec![b'x'; 1024];
            loop {
                output.extend_from_within(..);
                std::hint::black_box(&output);
            }
        }
        _ => Err(text.into()),
    }
}
