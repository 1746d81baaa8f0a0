//! Header fields of either side through one trait.

use crate::error::EditError;
use crate::plugin::{Request, Response};

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
