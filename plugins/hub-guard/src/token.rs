//! Who may connect: tokens that are signed (JWT, RFC 7519, with HS256 and nothing else), and tokens that are listed.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac_sha256::{HMAC, Hash};
use serde_json::{Map, Value};
use sluicegate_plugin::hub::is_name;

use crate::config;
use crate::place::Place;

/// Longer ones are not looked at.
const LONGEST: usize = 8 * 1024;
/// A key for HS256 has at least as many bytes as the hash (RFC 7518, section 3.2).
const SHORTEST_KEY: usize = 32;
/// A listed token that is shorter can be guessed.
const SHORTEST_LISTED: usize = 16;

/// What a token says of its owner.
pub type Claims = Map<String, Value>;

/// Tokens that are good.
#[derive(Debug)]
pub struct Tokens {
    places: Vec<Place>,
    keys: Vec<Vec<u8>>,
    listed: Vec<Listed>,
    id: String,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: u64,
    require_exp: bool,
    closes: bool,
}

#[derive(Debug)]
struct Listed {
    /// Hashes are compared: that takes as long whatever a guess has in common with the token.
    hash: [u8; 32],
    id: Option<String>,
    claims: Claims,
}

/// The owner of a good token.
#[derive(Debug, PartialEq)]
pub struct Owner {
    /// What the connection is called.
    pub id: Option<String>,
    /// What else the token says.
    pub claims: Claims,
    /// When the connection has to end, in seconds since 1970.
    pub until: Option<u64>,
}

/// Why a token is not good. For the log: the client hears one word about all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Denial {
    Malformed,
    Unsigned,
    Algorithm,
    Expired,
    NotYet,
    Endless,
    Issuer,
    Audience,
    Id,
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is no token",
            Self::Unsigned => "no key has signed it, and it is not listed",
            Self::Algorithm => "its algorithm is not HS256",
            Self::Expired => "it has expired",
            Self::NotYet => "it is not good yet",
            Self::Endless => "it has no exp",
            Self::Issuer => "it has another issuer",
            Self::Audience => "it is for another audience",
            Self::Id => "its owner's name can't be one of a client",
        })
    }
}

impl Tokens {
    /// Checks what the user wrote.
    pub fn new(config: config::Token) -> Result<Self, String> {
        if config.secrets.is_empty() && config.tokens.is_empty() {
            return Err(
                "token: neither secrets nor tokens are given, so nobody could connect".to_owned(),
            );
        }
        let places: Vec<Place> = config
            .from
            .iter()
            .map(|place| place.parse().map_err(|why| format!("token.from: {why}")))
            .collect::<Result<_, _>>()?;
        if places.is_empty() {
            return Err("token.from: a place to look for tokens is needed".to_owned());
        }
        let numbered = |(number, secret): (usize, &String)| {
            key(secret).map_err(|why| format!("token.secrets[{number}]: {why}"))
        };
        let keys = config.secrets.iter().enumerate().map(numbered);
        let keys = keys.collect::<Result<_, _>>()?;
        let listed = config.tokens.into_iter().enumerate();
        let listed = listed
            .map(|(number, one)| {
                Listed::new(one).map_err(|why| format!("token.tokens[{number}].{why}"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            places,
            keys,
            listed,
            id: config.id,
            issuer: config.issuer,
            audience: config.audience,
            leeway: config.leeway.into(),
            require_exp: config.require_exp,
            closes: config.close_when_expired,
        })
    }

    /// Where tokens are looked for.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether connections end with their tokens.
    pub fn close_when_expired(&self) -> bool {
        self.closes && !self.keys.is_empty()
    }

    /// The owner of a token, at a time in seconds since 1970.
    pub fn owner(&self, token: &str, now: u64) -> Result<Owner, Denial> {
        if token.len() > LONGEST {
            return Err(Denial::Malformed);
        }
        if let Some(listed) = self.listed(token) {
            return Ok(Owner {
                id: listed.id.clone(),
                claims: listed.claims.clone(),
                until: None,
            });
        }
        let claims = self.verified(token)?;
        let until = self.in_time(&claims, now)?;
        let has = |claim: &str, wanted: &str| match claims.get(claim) {
            Some(Value::String(text)) => text == wanted,
            Some(Value::Array(list)) => list.iter().any(|one| one == wanted),
            _ => false,
        };
        if self
            .issuer
            .as_ref()
            .is_some_and(|wanted| !has("iss", wanted))
        {
            return Err(Denial::Issuer);
        }
        if self
            .audience
            .as_ref()
            .is_some_and(|wanted| !has("aud", wanted))
        {
            return Err(Denial::Audience);
        }
        let id = match claims.get(&self.id) {
            None => None,
            Some(Value::String(id)) if is_name(id) => Some(id.clone()),
            Some(_) => return Err(Denial::Id),
        };
        Ok(Owner { id, claims, until })
    }

    fn listed(&self, token: &str) -> Option<&Listed> {
        let hash = hash(token);
        // All of them are compared, so that the time does not tell which one it is.
        let mut found = None;
        for listed in &self.listed {
            let differing = listed
                .hash
                .iter()
                .zip(&hash)
                .fold(0, |all, (a, b)| all | (a ^ b));
            if std::hint::black_box(differing) == 0 {
                found = Some(listed);
            }
        }
        found
    }

    /// The claims of a token that one of the keys has signed.
    fn verified(&self, token: &str) -> Result<Claims, Denial> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Denial::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Denial::Malformed)?;
        let signature = decoded(signature)?;
        let signature: [u8; 32] = signature.try_into().map_err(|_| Denial::Malformed)?;
        // Nothing of it is read before its signature holds.
        let is_signed = self
            .keys
            .iter()
            .any(|key| HMAC::verify(signed, key, &signature));
        if !is_signed {
            return Err(Denial::Unsigned);
        }
        let header = object(header)?;
        // Extensions that have to be understood (`crit`) are not.
        if header.get("alg").is_none_or(|alg| alg != "HS256") || header.contains_key("crit") {
            return Err(Denial::Algorithm);
        }
        object(payload)
    }

    /// When its time is over, if it is in time.
    fn in_time(&self, claims: &Claims, now: u64) -> Result<Option<u64>, Denial> {
        if seconds(claims, "nbf")?.is_some_and(|from| now.saturating_add(self.leeway) < from) {
            return Err(Denial::NotYet);
        }
        match seconds(claims, "exp")? {
            None if self.require_exp => Err(Denial::Endless),
            None => Ok(None),
            Some(exp) => {
                let until = exp.saturating_add(self.leeway);
                if now >= until {
                    return Err(Denial::Expired);
                }
                Ok(Some(until).filter(|_| self.closes))
            }
        }
    }
}

impl Listed {
    fn new(config: config::Listed) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if config.token.len() < SHORTEST_LISTED || !config.token.bytes().all(is_plain) {
            return Err(format!(
                "token: a token has at least {SHORTEST_LISTED} letters, digits, \"-\", \".\", \"_\" or \"~\""
            ));
        }
        if config.id.as_ref().is_some_and(|id| !is_name(id)) {
            return Err(
                "id: a client's name has 1 to 128 bytes without control characters".to_owned(),
            );
        }
        Ok(Self {
            hash: hash(&config.token),
            id: config.id,
            claims: config.claims,
        })
    }
}

fn key(secret: &str) -> Result<Vec<u8>, String> {
    let key = match secret.strip_prefix("base64:") {
        Some(text) => STANDARD
            .decode(text)
            .or_else(|_| URL_SAFE_NO_PAD.decode(text))
            .map_err(|_| "what follows base64: is not base64".to_owned())?,
        None => secret.as_bytes().to_vec(),
    };
    if key.len() < SHORTEST_KEY {
        let length = key.len();
        return Err(format!(
            "a key for HS256 has at least {SHORTEST_KEY} bytes, this one {length}"
        ));
    }
    Ok(key)
}

fn hash(token: &str) -> [u8; 32] {
    Hash::hash(token.as_bytes())
}

fn decoded(part: &str) -> Result<Vec<u8>, Denial> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Denial::Malformed)
}

fn object(part: &str) -> Result<Map<String, Value>, Denial> {
    serde_json::from_slice(&decoded(part)?).map_err(|_| Denial::Malformed)
}

/// A time of a claim; one that is there and is none is not taken for an absent one.
fn seconds(claims: &Claims, claim: &str) -> Result<Option<u64>, Denial> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    if let Some(whole) = value.as_u64() {
        return Ok(Some(whole));
    }
    match value.as_f64() {
        Some(time) if (0.0..9.0e15).contains(&time) =>
        {
            #[allow(clippy::cast_sign_loss, reason = "it is in the range")]
            Ok(Some(time as u64))
        }
        _ => Err(Denial::Malformed),
    }
}

#[cfg(test)]
mod tests;
