//! What has come from Redis and is not a whole value yet.

use std::io;

use bytes::{Buf as _, BytesMut};

use super::super::resp::{self, LONGEST, Value};

/// Room for one read.
const READ: usize = 16 << 10;
/// The longest string and what stands around it; the longest answer to anything that is asked is shorter.
const MOST: usize = LONGEST + (1 << 20);
/// An empty buffer that has held more is given back.
const KEPT: usize = 256 << 10;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: BytesMut,
    /// The most that it has held. Its capacity does not say that: what has been taken is not counted in it.
    held: usize,
}

impl Input {
    /// Where the next read goes.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        // A buffer that is nearly full would be read into by a few bytes.
        self.bytes.reserve(READ);
        &mut self.bytes
    }

    /// The value that it begins with, if that is whole, and how long it is: see [`Self::skip`].
    pub(super) fn value(&mut self) -> io::Result<Option<(Value<'_>, usize)>> {
        self.held = self.held.max(self.bytes.len());
        resp::parse(&self.bytes).map_err(io::Error::other)
    }

    /// This much has been taken.
    pub(super) fn skip(&mut self, length: usize) {
        self.bytes.advance(length);
    }

    /// All values that are whole have been taken. An error: what is left has become too long for one.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if self.bytes.len() > MOST {
            return Err(io::Error::other("what came is longer than any answer"));
        }
        if self.bytes.is_empty() && self.held > KEPT {
            *self = Self::default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All whole values are taken.
    fn take(input: &mut Input) -> io::Result<usize> {
        let mut count = 0;
        while let Some((_, length)) = input.value()? {
            input.skip(length);
            count += 1;
        }
        input.settle()?;
        Ok(count)
    }

    #[test]
    fn a_value_that_does_not_end_is_an_error_once_it_is_too_long() {
        let mut input = Input::default();
        let piece = vec![b'x'; 4 << 20];
        input.room().extend_from_slice(b"*100\r\n");
        let mut taken = Ok(0);
        for pieces in 0..100 {
            taken = take(&mut input);
            if taken.is_err() {
                assert!(
                    (MOST >> 22..=(MOST >> 22) + 1).contains(&pieces),
                    "{pieces}"
                );
                break;
            }
            let start = format!("${}\r\n", piece.len());
            input.room().extend_from_slice(start.as_bytes());
            input.room().extend_from_slice(&piece);
            input.room().extend_from_slice(b"\r\n");
        }
        assert!(taken.is_err());
    }

    #[test]
    fn a_buffer_that_was_large_is_given_back_when_it_is_empty() {
        let mut input = Input::default();
        let long = [
            format!("${}\r\n", 4 << 20).as_bytes(),
            &vec![b'x'; 4 << 20],
            b"\r\n",
        ]
        .concat();
        input.room().extend_from_slice(&long);
        input.room().extend_from_slice(b"+a");
        assert_eq!(take(&mut input).unwrap(), 1);
        assert!(input.held > KEPT);
        input.room().extend_from_slice(b"\r\n");
        assert_eq!(take(&mut input).unwrap(), 1);
        assert_eq!((input.held, input.bytes.capacity()), (0, 0));
    }
}
