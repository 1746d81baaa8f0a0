//! A head for tests.

use sluicegate_plugin::template::{Source, Variable};
use sluicegate_plugin::{EditError, Headers};
use std::cell::RefCell;

/// A head as a list of fields.
pub(crate) struct Fake(RefCell<Vec<(String, Vec<u8>)>>);

impl Fake {
    pub(crate) fn new(fields: &[(&str, &str)]) -> Self {
        Self(RefCell::new(
            fields
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
                .collect(),
        ))
    }
    pub(crate) fn text(&self) -> String {
        let fields = self.0.borrow();
        fields
            .iter()
            .map(|(n, v)| format!("{n}={}", String::from_utf8_lossy(v)))
            .collect::<Vec<_>>()
            .join("; ")
    }
}

impl Headers for Fake {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.0
            .borrow()
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.clone())
    }
    fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        self.0
            .borrow()
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| v.clone())
            .collect()
    }
    fn set_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.remove_header(name);
        self.append_header(name, value)
    }
    fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.0.borrow_mut().push((name.to_owned(), value.to_vec()));
        Ok(())
    }
    fn remove_header(&self, name: &str) {
        self.0.borrow_mut().retain(|(n, _)| n != name);
    }
}

impl Source for Fake {
    fn value(&self, variable: &Variable) -> Vec<u8> {
        match variable {
            Variable::Header(_) => b"<b>".to_vec(),
            Variable::Status => b"200".to_vec(),
            _ => b"x".to_vec(),
        }
    }
}
