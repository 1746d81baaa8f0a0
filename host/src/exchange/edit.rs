//! What a plugin may change in a head, and why an edit is refused. A refused edit changes nothing.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::hop_by_hop;

/// Why an edit was refused: the contract's `edit-error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Not a method, path or field name by the grammar.
    #[error("invalid name")]
    InvalidName,
    /// Bytes that may not stand in a value.
    #[error("invalid value")]
    InvalidValue,
    /// The host decides about this itself.
    #[error("forbidden: {0}")]
    Forbidden(&'static str),
    /// Over the limits for a head.
    #[error("the head would become too large")]
    TooLarge,
}

/// How much plugins may add to one head.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// `limits.header_bytes`
    pub bytes: usize,
    /// `limits.headers`
    pub fields: usize,
}

/// The fields of a head together with what was added to them.
#[derive(Debug)]
pub struct Fields<'a> {
    /// The fields.
    pub headers: &'a mut HeaderMap,
    /// Bytes that plugins have added so far.
    pub added: &'a mut usize,
    /// The limits.
    pub budget: Budget,
}

impl Fields<'_> {
    /// Replaces all values of a field.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn set(&mut self, name: &str, value: Vec<u8>) -> Result<(), EditError> {
        let (name, value) = self.check(name, value)?;
        self.headers
            .try_insert(name, value)
            .map_err(|_| EditError::TooLarge)?;
        Ok(())
    }

    /// Adds a value to a field.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn append(&mut self, name: &str, value: Vec<u8>) -> Result<(), EditError> {
        let (name, value) = self.check(name, value)?;
        self.headers
            .try_append(name, value)
            .map_err(|_| EditError::TooLarge)?;
        Ok(())
    }

    /// Sets a field that is absent.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn set_default(&mut self, name: &str, value: Vec<u8>) -> Result<(), EditError> {
        // Looked up by text: most often the field is there, and nothing has to be made of the name.
        if self.headers.contains_key(name) {
            return Ok(());
        }
        self.set(name, value)
    }

    fn check(
        &mut self,
        name: &str,
        value: Vec<u8>,
    ) -> Result<(HeaderName, HeaderValue), EditError> {
        let name = field_name(name)?;
        let added = self.added.saturating_add(name.as_str().len() + value.len());
        if added > self.budget.bytes || self.headers.len() >= self.budget.fields {
            return Err(EditError::TooLarge);
        }
        let value = HeaderValue::try_from(value).map_err(|_| EditError::InvalidValue)?;
        *self.added = added;
        Ok((name, value))
    }
}

/// Removes all values of a field. Fields that a plugin may not set are not there for it to remove.
pub fn remove(headers: &mut HeaderMap, name: &str) {
    if let Ok(name) = field_name(name) {
        headers.remove(name);
    }
}

/// A field name that a plugin may set.
///
/// # Errors
/// `InvalidName`, or `Forbidden` for framing and hop-by-hop fields and for Host.
pub fn field_name(name: &str) -> Result<HeaderName, EditError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::InvalidName)?;
    if hop_by_hop::is_forbidden(&name) {
        return Err(EditError::Forbidden(
            "the gateway frames messages and manages connections",
        ));
    }
    if name == http::header::HOST {
        return Err(EditError::Forbidden("Host is changed by set-authority"));
    }
    Ok(name)
}

/// A method that a plugin may set.
///
/// # Errors
/// `InvalidName`; `Forbidden` for CONNECT, which is no request to an upstream.
pub fn method(name: &str) -> Result<Method, EditError> {
    let method = Method::from_bytes(name.as_bytes()).map_err(|_| EditError::InvalidName)?;
    if method == Method::CONNECT {
        return Err(EditError::Forbidden("CONNECT is not forwarded"));
    }
    Ok(method)
}

/// A Host value that a plugin may set.
///
/// # Errors
/// `InvalidValue`
pub fn authority(text: &str) -> Result<HeaderValue, EditError> {
    let authority: http::uri::Authority = text.parse().map_err(|_| EditError::InvalidValue)?;
    if authority.as_str().contains('@') {
        return Err(EditError::InvalidValue);
    }
    HeaderValue::from_str(authority.as_str()).map_err(|_| EditError::InvalidValue)
}

/// A status that a response may get.
///
/// # Errors
/// `InvalidValue` for anything outside of 200 to 599.
pub fn status(status: u16) -> Result<StatusCode, EditError> {
    match status {
        200..=599 => StatusCode::from_u16(status).map_err(|_| EditError::InvalidValue),
        _ => Err(EditError::InvalidValue),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edit(edits: impl FnOnce(&mut Fields<'_>)) -> HeaderMap {
        let (mut headers, mut added) = (HeaderMap::new(), 0);
        edits(&mut Fields {
            headers: &mut headers,
            added: &mut added,
            budget: Budget {
                bytes: 64,
                fields: 3,
            },
        });
        headers
    }

    #[test]
    fn framing_hop_by_hop_and_host_are_the_gateways() {
        for name in [
            "Content-Length",
            "transfer-encoding",
            "connection",
            "Upgrade",
            "te",
            "host",
        ] {
            assert!(
                matches!(field_name(name), Err(EditError::Forbidden(_))),
                "{name}"
            );
        }
        assert_eq!(field_name("a b"), Err(EditError::InvalidName));
        assert_eq!(field_name(""), Err(EditError::InvalidName));
    }

    #[test]
    fn a_value_cannot_carry_a_second_field() {
        let headers = edit(|fields| {
            for value in [&b"a\r\nx: y"[..], b"a\nb", b"a\0"] {
                assert_eq!(
                    fields.set("x", value.to_vec()),
                    Err(EditError::InvalidValue)
                );
            }
            assert_eq!(fields.set("x", b"\xe4 \t ok".to_vec()), Ok(()));
        });
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn a_head_does_not_grow_without_bound() {
        edit(|fields| {
            assert_eq!(fields.set("big", vec![b'a'; 64]), Err(EditError::TooLarge));
            for name in ["a", "b", "c"] {
                assert_eq!(fields.append(name, b"1".to_vec()), Ok(()));
            }
            assert_eq!(fields.append("d", b"1".to_vec()), Err(EditError::TooLarge));
        });
    }

    #[test]
    fn methods_statuses_and_authorities() {
        assert!(method("BREW").is_ok());
        assert!(method("GET / HTTP/1.1").is_err());
        assert!(method("CONNECT").is_err());
        assert!(status(199).is_err() && status(101).is_err() && status(600).is_err());
        assert!(status(599).is_ok());
        assert!(authority("a.example:80").is_ok());
        for text in ["", "a b", "u@a", "a/b", "a\r\n"] {
            assert!(authority(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        /// Whatever a plugin hands over, what comes out is a head that can be read in one way.
        #[test]
        fn no_edit_makes_a_head_that_reads_otherwise(
            edits in prop::collection::vec(
                (0_u8..4, prop_oneof![any::<String>(), "[A-Za-z-]{1,20}", Just("Transfer-Encoding".to_owned())],
                 prop::collection::vec(any::<u8>(), 0..20)),
                0..20,
            ),
        ) {
            let headers = edit(|fields| {
                for (kind, name, value) in edits {
                    // A refused edit is one of the outcomes.
                    let _ = match kind {
                        0 => fields.set(&name, value),
                        1 => fields.append(&name, value),
                        2 => fields.set_default(&name, value),
                        _ => {
                            remove(fields.headers, &name);
                            Ok(())
                        }
                    };
                }
            });
            prop_assert!(headers.len() <= 3);
            let mut wire = b"GET / HTTP/1.1\r\n".to_vec();
            let mut expected = Vec::new();
            for (name, value) in &headers {
                prop_assert!(!hop_by_hop::is_forbidden(name) && name != http::header::HOST);
                wire.extend_from_slice(name.as_str().as_bytes());
                wire.extend_from_slice(b": ");
                wire.extend_from_slice(value.as_bytes());
                wire.extend_from_slice(b"\r\n");
                expected.push((name.as_str().to_owned(), value.as_bytes().trim_ascii().to_vec()));
            }
            wire.extend_from_slice(b"\r\n");
            let mut space = [httparse::EMPTY_HEADER; 8];
            let mut request = httparse::Request::new(&mut space);
            prop_assert_eq!(request.parse(&wire), Ok(httparse::Status::Complete(wire.len())));
            let read: Vec<_> = request
                .headers
                .iter()
                .map(|field| (field.name.to_owned(), field.value.trim_ascii().to_vec()))
                .collect();
            prop_assert_eq!(read, expected);
        }
    }
}
