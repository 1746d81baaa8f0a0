//! The plugin's table in the gateway's TOML file, as the user wrote it.

use serde::Deserialize;
use sluicegate_plugin::ByteSize;
use std::collections::BTreeMap;

/// What the user writes under `[plugins.NAME.config]`. What is absent is not checked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who may connect.
    pub token: Option<Token>,
    /// Which rooms may be joined and published to.
    pub rooms: Option<Rooms>,
    /// What messages have to be like.
    pub message: Option<Message>,
}

/// Tokens: signed ones (JWT with HS256), and ones that are listed here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// Where a token is looked for, in this order: `bearer`, `query:NAME`, `subprotocol:PREFIX`.
    pub from: Vec<String>,
    /// Keys of signed tokens: text, or `base64:…`. Several, so that they can be changed while old tokens are still around.
    pub secrets: Vec<String>,
    /// Tokens that are good as they are.
    pub tokens: Vec<Listed>,
    /// The claim that names the connection.
    pub id: String,
    /// What `iss` has to be.
    pub issuer: Option<String>,
    /// What `aud` has to be, or to have.
    pub audience: Option<String>,
    /// Seconds by which clocks may differ.
    pub leeway: u32,
    /// Whether signed tokens without `exp` are refused.
    pub require_exp: bool,
    /// Whether a connection ends, with its next message, when its token does.
    pub close_when_expired: bool,
}

impl Default for Token {
    fn default() -> Self {
        Self {
            from: vec!["bearer".to_owned()],
            secrets: Vec::new(),
            tokens: Vec::new(),
            id: "sub".to_owned(),
            issuer: None,
            audience: None,
            leeway: 5,
            require_exp: true,
            close_when_expired: true,
        }
    }
}

/// A token that is good as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The token.
    pub token: String,
    /// What its connection is called.
    pub id: Option<String>,
    /// What a signed token would have as its claims.
    #[serde(default)]
    pub claims: serde_json::Map<String, serde_json::Value>,
}

/// Rooms. Names may end in `*`, which stands for anything, and have `{id}` in them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rooms {
    /// Joined by everybody who connects; without `*`.
    pub enter: Vec<String>,
    /// What everybody may join.
    pub join: Vec<String>,
    /// What everybody may publish to.
    pub publish: Vec<String>,
    /// The claim that says what its owner may besides: a list of rooms, or `{ join = [...], publish = [...] }`.
    pub claim: Option<String>,
}

/// Rules for messages.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Message {
    /// The longest message.
    pub max: Option<ByteSize>,
    /// Whether only text is let through.
    pub text_only: bool,
    /// What the key `type` of a message may be; empty: anything.
    pub types: Vec<String>,
    /// What a message has to be as JSON.
    pub json: Option<Json>,
    /// Words that may not be in it.
    pub words: Option<Words>,
    /// What happens to a message that breaks a rule.
    pub on_violation: OnViolation,
}

/// A message is a JSON object with these keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Json {
    /// Keys that have to be there, and what they are.
    pub required: BTreeMap<String, Kind>,
    /// Keys that may be there, and what they are.
    pub optional: BTreeMap<String, Kind>,
    /// Whether there may be other keys.
    pub others: bool,
}

impl Default for Json {
    fn default() -> Self {
        Self {
            required: BTreeMap::new(),
            optional: BTreeMap::new(),
            others: true,
        }
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Kind {
    String,
    Number,
    Integer,
    Boolean,
    Object,
    Array,
    Null,
    Any,
}

/// Words, compared without case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// The words.
    pub deny: Vec<String>,
    /// What happens to a message that has one.
    #[serde(default)]
    pub then: Then,
}

/// What happens to a message with a denied word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// It breaks the rules.
    #[default]
    Refuse,
    /// It goes on with stars in the place of the word.
    Mask,
}

/// What happens to a message that breaks a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnViolation {
    /// It is dropped, and the client is told why.
    #[default]
    Reply,
    /// It is dropped.
    Drop,
    /// The connection ends.
    Close,
}
