//! A body that is changed while it streams through.

use crate::coding::{Coding, Decoder};
use crate::literal::Scanner;
use crate::side::{Around, Side};
use sluicegate_plugin::{Result, Transform};

/// How many times its size a piece may grow by decoding, if that is more than the limit. Text comes to 5 or 10, logs
/// to 30; a bomb to a thousand.
const GROWTH: usize = 32;

/// Decodes, replaces, and puts the text around.
pub struct Streamed {
    decoder: Option<Decoder>,
    scanner: Option<Scanner>,
    around: Around,
    limit: usize,
}

impl Streamed {
    /// Before the first piece of a body that `side` is for.
    pub fn new(side: &Side, around: Around, coding: Option<Coding>) -> Self {
        Self {
            decoder: coding.map(Decoder::new),
            scanner: side.literals().map(Scanner::new),
            around,
            limit: side.limit(),
        }
    }

    fn scan(&mut self, text: Vec<u8>, mut out: Vec<u8>) -> Vec<u8> {
        match &mut self.scanner {
            None if out.is_empty() => return text,
            None => out.extend_from_slice(&text),
            Some(scanner) => scanner.push(text, &mut out),
        }
        out
    }
}

impl Transform for Streamed {
    fn push(&mut self, chunk: Vec<u8>) -> Result<Vec<u8>> {
        let out = std::mem::take(&mut self.around.before);
        let text = match &mut self.decoder {
            None => chunk,
            Some(decoder) => {
                decoder.push(&chunk, self.limit.max(chunk.len().saturating_mul(GROWTH)))?
            }
        };
        Ok(self.scan(text, out))
    }

    fn finish(&mut self) -> Result<Vec<u8>> {
        let mut out = std::mem::take(&mut self.around.before);
        if let Some(decoder) = &mut self.decoder {
            let text = decoder.finish(self.limit)?;
            out = self.scan(text, out);
        }
        if let Some(scanner) = &mut self.scanner {
            scanner.finish(&mut out);
        }
        out.append(&mut self.around.after);
        Ok(out)
    }
}
