//! Whether text that comes in pieces is UTF-8: told at the first byte that can't be right, as RFC 6455, section 8.1,
//! wants a connection to fail, and not at the end of a message that may never come.

/// Looks at one text, piece by piece.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8 {
    /// A character that is not whole yet.
    cut: [u8; 4],
    held: u8,
}

/// The text is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("text that is not UTF-8")]
pub struct NotUtf8;

impl Utf8 {
    /// The next piece.
    ///
    /// # Errors
    /// As soon as no further piece could make it right.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        while self.held > 0 {
            let Some((byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            let held = usize::from(self.held);
            *self.cut.get_mut(held).ok_or(NotUtf8)? = *byte;
            let character = self.cut.get(..=held).ok_or(NotUtf8)?;
            match std::str::from_utf8(character) {
                Ok(_) => self.held = 0,
                Err(error) if error.error_len().is_none() => self.held += 1,
                Err(_) => return Err(NotUtf8),
            }
        }
        let Err(error) = std::str::from_utf8(piece) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(NotUtf8);
        }
        let cut = piece.get(error.valid_up_to()..).unwrap_or_default();
        self.cut
            .get_mut(..cut.len())
            .ok_or(NotUtf8)?
            .copy_from_slice(cut);
        self.held = u8::try_from(cut.len()).map_err(|_| NotUtf8)?;
        Ok(())
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// The last character is not whole.
    pub fn finish(self) -> Result<(), NotUtf8> {
        if self.held == 0 { Ok(()) } else { Err(NotUtf8) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], cuts: &[usize]) -> Result<(), NotUtf8> {
        let mut utf8 = Utf8::default();
        let mut rest = bytes;
        for cut in cuts {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            utf8.push(piece)?;
            rest = after;
        }
        utf8.push(rest)?;
        utf8.finish()
    }

    #[test]
    fn fails_at_the_first_byte_that_is_wrong() {
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.push(b"\xce"), Ok(()));
        assert_eq!(utf8.push(b"\xba\xf4"), Ok(()));
        // Beyond U+10FFFF, whatever follows.
        assert_eq!(utf8.push(b"\x90"), Err(NotUtf8));
    }

    proptest! {
        #[test]
        fn text_is_text_wherever_it_is_cut(
            text in "[a\u{e9}\u{20ac}\u{10348}]{0,20}",
            cuts in proptest::collection::vec(0_usize..4, 0..30),
        ) {
            prop_assert_eq!(check(text.as_bytes(), &cuts), Ok(()));
        }

        #[test]
        fn the_verdict_is_that_of_the_standard_library(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'a'), Just(0xc3), Just(0xa9), Just(0xed), Just(0xa0), Just(0xf4), Just(0x90), Just(0x80), any::<u8>()],
                0..12,
            ),
            cuts in proptest::collection::vec(0_usize..4, 0..12),
        ) {
            prop_assert_eq!(check(&bytes, &cuts).is_ok(), std::str::from_utf8(&bytes).is_ok());
        }
    }
}
