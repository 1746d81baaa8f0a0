//! Header fields of either side through one trait.

use crate::error::EditError;
use crate::plugin::{HeaderEdit, Request, Response};

/// The header fields of a request or a response, for code that serves both. Names are compared without case.
///
/// A test can implement it for a plain list and so run a plugin's logic without a gateway.
pub trait Headers {
    /// The first value of a field.
    fn header(&self, name: &str) -> Option<Vec<u8>>;
    /// All values of a field, in their order.
    fn header_values(&self, name: &str) -> Vec<Vec<u8>>;
    /// Replaces all values of a field by one.
    fn set_header(&self, name: &str, value: &[u8]) -> Result<(), EditError>;
    /// Adds a value after those that are there.
    fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError>;
    /// Removes all values of a field.
    fn remove_header(&self, name: &str);
    /// Several edits in their order, up to the first that is refused. Of a real head it is one call to the gateway.
    fn edit_headers(&self, edits: &[HeaderEdit]) -> Result<(), EditError> {
        edit_one_by_one(self, edits)
    }
}

/// [`Headers::edit_headers`] for heads that are not the gateway's.
pub fn edit_one_by_one<H: Headers + ?Sized>(
    head: &H,
    edits: &[HeaderEdit],
) -> Result<(), EditError> {
    for edit in edits {
        match edit {
            HeaderEdit::Set((name, value)) => head.set_header(name, value)?,
            HeaderEdit::Append((name, value)) => head.append_header(name, value)?,
            HeaderEdit::Default((name, value)) => {
                if head.header(name).is_none() {
                    head.set_header(name, value)?;
                }
            }
            HeaderEdit::Remove(name) => head.remove_header(name),
        }
    }
    Ok(())
}

macro_rules! headers {
    ($($head:ty),+) => {$(
        impl Headers for $head {
            fn header(&self, name: &str) -> Option<Vec<u8>> {
                <$head>::header(self, name)
            }
            fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
                <$head>::header_values(self, name)
            }
            fn set_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
                <$head>::set_header(self, name, value)
            }
            fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
                <$head>::append_header(self, name, value)
            }
            fn remove_header(&self, name: &str) {
                <$head>::remove_header(self, name);
            }
            fn edit_headers(&self, edits: &[HeaderEdit]) -> Result<(), EditError> {
                <$head>::edit_headers(self, edits)
            }
        }

        impl $head {
            /// The first value of a field as text; `None` where it is absent or not UTF-8.
            pub fn header_str(&self, name: &str) -> Option<String> {
                self.header(name).and_then(|value| String::from_utf8(value).ok())
            }

            /// A note as text; `None` where it is absent or not UTF-8.
            pub fn note_str(&self, name: &str) -> Option<String> {
                self.note(name).and_then(|value| String::from_utf8(value).ok())
            }
        }
    )+};
}

headers!(Request, Response);
