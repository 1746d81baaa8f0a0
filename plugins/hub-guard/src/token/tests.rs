use super::*;
use proptest::prelude::*;
use serde_json::json;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_000_000;

fn tokens(config: Value) -> Result<Tokens, String> {
    Tokens::new(serde_json::from_value(config).unwrap())
}

fn good() -> Tokens {
    tokens(json!({ "secrets": [SECRET] })).unwrap()
}

/// A token signed with a key, whatever its header says.
fn signed(key: &str, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = HMAC::mac(&signed, key);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn token(claims: &Value) -> String {
    signed(SECRET, &json!({ "alg": "HS256", "typ": "JWT" }), claims)
}

fn claims() -> Value {
    json!({ "sub": "ann", "exp": NOW + 60, "rooms": ["a"] })
}

#[test]
fn a_signed_token_has_an_owner() {
    let owner = good().owner(&token(&claims()), NOW).unwrap();
    assert_eq!(
        (owner.id.as_deref(), owner.until),
        (Some("ann"), Some(NOW + 65))
    );
    assert_eq!(owner.claims.get("rooms"), Some(&json!(["a"])));
}

/// RFC 7515, appendix A.1: a key, a token and its signature that others have made.
#[test]
fn the_example_of_the_standard() {
    let key =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let tokens = tokens(json!({ "secrets": [format!("base64:{key}")], "issuer": "joe" })).unwrap();
    assert!(tokens.owner(token, 1_300_819_379).is_ok());
    assert_eq!(tokens.owner(token, 1_300_819_390), Err(Denial::Expired));
}

#[test]
fn times_are_kept_with_some_leeway() {
    let at = |claims: Value, now: u64| good().owner(&token(&claims), now).map(|owner| owner.until);
    let until = |exp: Value| json!({ "exp": exp });
    assert_eq!(at(until(json!(NOW)), NOW + 4), Ok(Some(NOW + 5)));
    assert_eq!(at(until(json!(NOW)), NOW + 5), Err(Denial::Expired));
    assert_eq!(at(until(json!(NOW as f64 + 0.5)), NOW), Ok(Some(NOW + 5)));
    assert_eq!(at(until(json!("soon")), NOW), Err(Denial::Malformed));
    assert_eq!(at(until(json!(-1)), NOW), Err(Denial::Malformed));
    assert_eq!(at(until(json!(null)), NOW), Err(Denial::Malformed));
    assert_eq!(at(until(json!(u64::MAX)), NOW), Ok(Some(u64::MAX)));
    assert_eq!(at(json!({}), NOW), Err(Denial::Endless));
    let from = |nbf: u64| json!({ "exp": NOW + 60, "nbf": nbf });
    assert!(at(from(NOW + 5), NOW).is_ok());
    assert_eq!(at(from(NOW + 6), NOW), Err(Denial::NotYet));
    let endless = tokens(json!({ "secrets": [SECRET], "require_exp": false })).unwrap();
    assert_eq!(endless.owner(&token(&json!({})), NOW).unwrap().until, None);
    let stays = json!({ "secrets": [SECRET], "close_when_expired": false });
    let owner = tokens(stays)
        .unwrap()
        .owner(&token(&claims()), NOW)
        .unwrap();
    assert_eq!(owner.until, None);
}

#[test]
fn tokens_that_others_have_made() {
    let header = |alg: Value| json!({ "alg": alg });
    let unsigned = {
        let signed = signed(SECRET, &header(json!("none")), &claims());
        let (signed, _) = signed.rsplit_once('.').unwrap();
        format!("{signed}.")
    };
    let other_claims = {
        let (head, signature) = (token(&claims()), token(&claims()));
        let head = head.split('.').next().unwrap().to_owned();
        let signature = signature.rsplit('.').next().unwrap().to_owned();
        let claims = URL_SAFE_NO_PAD.encode(json!({ "sub": "root", "exp": NOW + 60 }).to_string());
        format!("{head}.{claims}.{signature}")
    };
    let crit = json!({ "alg": "HS256", "crit": ["exp"] });
    for (token, denial) in [
        (
            signed(
                "another key of at least 32 bytes.",
                &header(json!("HS256")),
                &claims(),
            ),
            Denial::Unsigned,
        ),
        (unsigned, Denial::Malformed),
        (other_claims, Denial::Unsigned),
        (
            signed(SECRET, &header(json!("none")), &claims()),
            Denial::Algorithm,
        ),
        (
            signed(SECRET, &header(json!("HS512")), &claims()),
            Denial::Algorithm,
        ),
        (
            signed(SECRET, &header(json!(["HS256"])), &claims()),
            Denial::Algorithm,
        ),
        (signed(SECRET, &json!({}), &claims()), Denial::Algorithm),
        (signed(SECRET, &crit, &claims()), Denial::Algorithm),
        (
            signed(SECRET, &header(json!("HS256")), &json!([1])),
            Denial::Malformed,
        ),
        (token(&json!({ "sub": 7, "exp": NOW + 60 })), Denial::Id),
        (
            token(&json!({ "sub": "a\nb", "exp": NOW + 60 })),
            Denial::Id,
        ),
        (token(&json!({ "sub": "", "exp": NOW + 60 })), Denial::Id),
        (format!("{}=", token(&claims())), Denial::Malformed),
        (format!("x.{}", token(&claims())), Denial::Unsigned),
        (format!("{}.x", token(&claims())), Denial::Malformed),
        (String::new(), Denial::Malformed),
        ("..".to_owned(), Denial::Malformed),
        ("a".repeat(LONGEST + 1), Denial::Malformed),
    ] {
        assert_eq!(good().owner(&token, NOW), Err(denial), "{token}");
    }
}

#[test]
fn issuer_and_audience_have_to_be_the_ones_that_are_wanted() {
    let config = json!({ "secrets": [SECRET], "issuer": "us", "audience": "chat" });
    let wanted = tokens(config).unwrap();
    for (iss, aud, expected) in [
        (json!("us"), json!("chat"), Ok(())),
        (json!("us"), json!(["other", "chat"]), Ok(())),
        (json!("them"), json!("chat"), Err(Denial::Issuer)),
        (json!(null), json!("chat"), Err(Denial::Issuer)),
        (json!("us"), json!("other"), Err(Denial::Audience)),
        (json!("us"), json!({ "chat": 1 }), Err(Denial::Audience)),
    ] {
        let token = token(&json!({ "iss": iss, "aud": aud, "exp": NOW + 60 }));
        assert_eq!(wanted.owner(&token, NOW).map(drop), expected, "{iss} {aud}");
    }
}

#[test]
fn keys_can_be_changed_and_listed_tokens_are_good_as_they_are() {
    let new = "fedcba9876543210fedcba9876543210";
    let listed =
        json!({ "token": "robot-0123456789", "id": "robot", "claims": { "rooms": ["all"] } });
    let both = tokens(json!({ "secrets": [new, SECRET], "tokens": [listed] })).unwrap();
    assert!(both.owner(&token(&claims()), NOW).is_ok());
    let robot = both.owner("robot-0123456789", NOW).unwrap();
    assert_eq!((robot.id.as_deref(), robot.until), (Some("robot"), None));
    assert_eq!(robot.claims.get("rooms"), Some(&json!(["all"])));
    for wrong in ["robot-012345678", "robot-01234567890", "Robot-0123456789"] {
        assert_eq!(both.owner(wrong, NOW), Err(Denial::Malformed), "{wrong}");
    }
}

#[test]
fn what_is_refused() {
    for (config, expected) in [
        (json!({}), "token: neither secrets nor tokens"),
        (
            json!({ "secrets": ["short"] }),
            "token.secrets[0]: a key for HS256 has at least 32 bytes, this one 5",
        ),
        (
            json!({ "secrets": [SECRET, "base64:?"] }),
            "token.secrets[1]: what follows base64:",
        ),
        (json!({ "secrets": [SECRET], "from": [] }), "token.from"),
        (
            json!({ "secrets": [SECRET], "from": ["cookie"] }),
            "token.from: \"cookie\" is no place",
        ),
        (
            json!({ "tokens": [{ "token": "short" }] }),
            "token.tokens[0].token",
        ),
        (
            json!({ "tokens": [{ "token": "0123456789abcde+" }] }),
            "token.tokens[0].token",
        ),
        (
            json!({ "tokens": [{ "token": "0123456789abcdef", "id": "" }] }),
            "token.tokens[0].id",
        ),
    ] {
        let error = tokens(config.clone()).unwrap_err();
        assert!(error.starts_with(expected), "{config}: {error}");
        assert!(!error.contains(SECRET), "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_none_is_good(text in "[A-Za-z0-9._-]{0,80}|.{0,40}") {
        prop_assert!(good().owner(&text, NOW).is_err());
    }

    #[test]
    fn a_token_with_another_byte_is_not_good(at in 0_usize..150, to in "[A-Za-z0-9_-]") {
        let token = token(&claims());
        let at = at % token.len();
        let other = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert!(other == token || good().owner(&other, NOW).is_err());
    }
}
