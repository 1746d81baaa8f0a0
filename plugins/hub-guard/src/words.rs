//! Words that may not be in a message. A word is a run of letters and digits, compared without case; of a message that is JSON
//! it is the texts in it, decoded, so that an escape hides nothing.

use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::HashSet;

use crate::config::{self, Then};

/// The words, and what happens to a message that has one.
#[derive(Debug)]
pub struct Words {
    denied: HashSet<String>,
    then: Then,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// None of the words is in it.
    None,
    /// It has one, and may not go on.
    Refused,
    /// It has one, and goes on as this.
    Masked(String),
}

impl Words {
    /// Checks what the user wrote.
    pub fn new(config: &config::Words) -> Result<Self, String> {
        for (number, word) in config.deny.iter().enumerate() {
            if word.is_empty() || !word.chars().all(char::is_alphanumeric) {
                return Err(format!(
                    "message.words.deny[{number}]: {word:?} is no word of letters and digits"
                ));
            }
        }
        Ok(Self {
            denied: config.deny.iter().map(|word| lower(word)).collect(),
            then: config.then,
        })
    }

    /// Looks through a message, of which may be known that it is JSON.
    pub fn find(&self, text: &str, is_json: bool) -> Found {
        let masked = if is_json || looks_like_json(text) {
            self.masked_json(text)
        } else {
            self.masked(text)
        };
        match (masked, self.then) {
            (Cow::Borrowed(_), _) => Found::None,
            (Cow::Owned(_), Then::Refuse) => Found::Refused,
            (Cow::Owned(text), Then::Mask) => Found::Masked(text),
        }
    }

    /// The text with stars in the place of denied words; borrowed where there are none.
    fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked: Option<String> = None;
        let mut rest = text;
        let mut done = 0;
        while let Some(start) = rest.find(char::is_alphanumeric) {
            let tail = rest.get(start..).unwrap_or_default();
            let length = tail
                .find(|c: char| !c.is_alphanumeric())
                .unwrap_or(tail.len());
            let (word, after) = tail.split_at_checked(length).unwrap_or((tail, ""));
            let begins = text.len() - tail.len();
            if self.denied.contains(&*lower_cow(word)) {
                let so_far = masked.get_or_insert_with(String::new);
                so_far.push_str(text.get(done..begins).unwrap_or_default());
                so_far.extend(word.chars().map(|_| '*'));
                done = begins + word.len();
            }
            rest = after;
        }
        match masked {
            None => Cow::Borrowed(text),
            Some(mut masked) => {
                masked.push_str(text.get(done..).unwrap_or_default());
                Cow::Owned(masked)
            }
        }
    }

    /// The same of valid JSON, of which only the texts change: everything else keeps its bytes.
    fn masked_json<'a>(&self, json: &'a str) -> Cow<'a, str> {
        let mut masked: Option<String> = None;
        let mut done = 0;
        let mut at = 0;
        while let Some(start) = json.get(at..).and_then(|rest| rest.find('"')) {
            let begins = at + start;
            let Some(literal) = literal(json.get(begins..).unwrap_or_default()) else {
                break;
            };
            at = begins + literal.len();
            let decoded = match literal.get(1..literal.len() - 1) {
                Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
                _ => match serde_json::from_str::<String>(literal) {
                    Ok(decoded) => Cow::Owned(decoded),
                    Err(_) => continue,
                },
            };
            if let Cow::Owned(changed) = self.masked(&decoded)
                && let Ok(encoded) = serde_json::to_string(&changed)
            {
                let so_far = masked.get_or_insert_with(String::new);
                so_far.push_str(json.get(done..begins).unwrap_or_default());
                so_far.push_str(&encoded);
                done = at;
            }
        }
        match masked {
            None => Cow::Borrowed(json),
            Some(mut masked) => {
                masked.push_str(json.get(done..).unwrap_or_default());
                Cow::Owned(masked)
            }
        }
    }
}

fn looks_like_json(text: &str) -> bool {
    let begins = matches!(
        text.trim_start().as_bytes().first(),
        Some(b'{' | b'[' | b'"')
    );
    begins && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The text literal that stands at the beginning, with its quotes.
fn literal(json: &str) -> Option<&str> {
    let mut is_escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return json.get(..=at),
            _ => {}
        }
    }
    None
}

fn lower(word: &str) -> String {
    word.to_lowercase()
}

fn lower_cow(word: &str) -> Cow<'_, str> {
    if word
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(lower(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(then: Then) -> Words {
        let deny = ["darn", "Mäh"].map(str::to_owned).to_vec();
        Words::new(&config::Words { deny, then }).unwrap()
    }

    #[test]
    fn words_are_found_whole_without_case_and_behind_escapes() {
        for (text, masked) in [
            ("darn", "****"),
            ("oh DARN, Darn!", "oh ****, ****!"),
            ("das mäh und MÄH", "das *** und ***"),
            (r#"{"a":"d\u0061rn it"}"#, r#"{"a":"**** it"}"#),
            (
                r#"{"a":["x","\"darn\""], "n":1.50}"#,
                r#"{"a":["x","\"****\""], "n":1.50}"#,
            ),
            (r#"{"darn":1}"#, r#"{"****":1}"#),
            (r#"{"a":"darn""#, r#"{"a":"****""#),
        ] {
            assert_eq!(
                words(Then::Mask).find(text, false),
                Found::Masked(masked.to_owned()),
                "{text}"
            );
            assert_eq!(
                words(Then::Refuse).find(text, false),
                Found::Refused,
                "{text}"
            );
        }
        for text in ["", "darned", "d arn", "_", r#"{"a":"fine \\\\","b":2}"#] {
            assert_eq!(words(Then::Mask).find(text, false), Found::None, "{text}");
        }
    }

    #[test]
    fn what_is_no_word() {
        for word in ["", "two words", "a-b"] {
            let config = config::Words {
                deny: vec![word.to_owned()],
                then: Then::Refuse,
            };
            assert!(
                Words::new(&config)
                    .unwrap_err()
                    .starts_with("message.words.deny[0]")
            );
        }
    }

    proptest! {
        #[test]
        fn what_was_masked_has_no_denied_word_and_stays_json(pieces in prop::collection::vec("darn|DARN|mäh| |,|x|\\\\|\"|\n|é", 0..12)) {
            let text = pieces.concat();
            let words = words(Then::Mask);
            let json = serde_json::json!({ "text": text, "list": [text, 1] }).to_string();
            for message in [text, json] {
                if let Found::Masked(masked) = words.find(&message, false) {
                    prop_assert_eq!(words.find(&masked, false), Found::None);
                    let was = serde_json::from_str::<IgnoredAny>(&message).is_ok();
                    prop_assert!(!was || serde_json::from_str::<IgnoredAny>(&masked).is_ok());
                }
            }
        }
    }
}
