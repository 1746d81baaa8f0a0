//! Deflating and inflating single messages (RFC 7692, section 7.2), each without a memory of the ones before.
//!
//! One compressor and one decompressor serve all connections of a thread: they are some hundreds of kilobytes.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a deflated message ends with, and leaves out (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Below it a message does not get smaller by enough to be worth a client's work.
pub const LEAST: usize = 64;

/// Between speed and size; a message is deflated once, however many get it.
const LEVEL: u32 = 4;

/// The window that a peer has to keep while it inflates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// 32 KiB, which is what there is without an agreement.
    Full,
    /// Anything from 256 bytes on: nothing refers further back.
    Small,
}

/// How far back a message for [`Window::Small`] refers at most.
const SMALL: usize = 256;

/// Why a message can't be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// It would be larger than the limit.
    #[error("a message that is too large")]
    TooLarge,
    /// It is not what RFC 7692 describes.
    #[error("compressed data that can't be inflated")]
    Corrupt,
}

thread_local! {
    static DEFLATER: RefCell<Option<Compress>> = const { RefCell::new(None) };
    static INFLATER: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

/// Deflates a message; `None` where that does not make it smaller.
pub fn deflate(payload: &[u8], window: Window) -> Option<Vec<u8>> {
    if payload.len() < LEAST {
        return None;
    }
    let mut deflated = Vec::with_capacity(payload.len() / 2 + 64);
    DEFLATER.with_borrow_mut(|compress| {
        let compress =
            compress.get_or_insert_with(|| Compress::new(Compression::new(LEVEL), false));
        match window {
            Window::Full => flush(compress, payload, &mut deflated),
            // A compressor that has forgotten what came before refers to nothing of it. That makes a smaller window of
            // any compressor.
            Window::Small => payload
                .chunks(SMALL)
                .try_for_each(|chunk| flush(compress, chunk, &mut deflated)),
        }
    })?;
    let length = deflated.strip_suffix(&TAIL)?.len();
    deflated.truncate(length);
    (length < payload.len()).then_some(deflated)
}

/// Deflates a piece up to a byte's end, and forgets it.
fn flush(compress: &mut Compress, piece: &[u8], deflated: &mut Vec<u8>) -> Option<()> {
    compress.reset();
    loop {
        let taken = usize::try_from(compress.total_in()).ok()?;
        let rest = piece.get(taken..)?;
        if deflated.capacity() == deflated.len() {
            deflated.reserve(piece.len() / 2 + 64);
        }
        compress
            .compress_vec(rest, deflated, FlushCompress::Sync)
            .ok()?;
        let is_taken = usize::try_from(compress.total_in()).ok()? == piece.len();
        // Room that is left over says that all has been written.
        if is_taken && deflated.len() < deflated.capacity() {
            return Some(());
        }
    }
}

/// Inflates a message of at most `limit` bytes.
///
/// # Errors
/// See [`InflateError`].
pub fn inflate(compressed: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    INFLATER.with_borrow_mut(|decompress| {
        let decompress = decompress.get_or_insert_with(|| Decompress::new(false));
        decompress.reset(false);
        // One byte more than may be there tells that there is more.
        let most = limit.saturating_add(1);
        let mut inflated = Vec::new();
        let mut ended = false;
        for piece in [compressed, &TAIL] {
            let before = decompress.total_in();
            while !ended {
                if inflated.len() == inflated.capacity() {
                    let more = (2 * inflated.len()).max(3 * compressed.len()).max(256);
                    inflated.reserve_exact(more.min(most - inflated.len()).max(1));
                }
                let taken = usize::try_from(decompress.total_in() - before)
                    .map_err(|_| InflateError::Corrupt)?;
                let rest = piece.get(taken..).unwrap_or_default();
                let had = inflated.len();
                let status = decompress
                    .decompress_vec(rest, &mut inflated, FlushDecompress::Sync)
                    .map_err(|_| InflateError::Corrupt)?;
                if inflated.len() > limit {
                    return Err(InflateError::TooLarge);
                }
                let now = usize::try_from(decompress.total_in() - before)
                    .map_err(|_| InflateError::Corrupt)?;
                ended = status == Status::StreamEnd;
                if ended {
                    // A final block may end a message (RFC 7692, section 7.2.3.4); then a byte 0 makes the tail a block.
                    if !matches!(piece.get(now..), Some([] | [0x00])) {
                        return Err(InflateError::Corrupt);
                    }
                    break;
                }
                let has_room = inflated.len() < inflated.capacity();
                if now == piece.len() && has_room {
                    break;
                }
                if now == taken && inflated.len() == had && has_room {
                    return Err(InflateError::Corrupt);
                }
            }
        }
        Ok(inflated)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Compressible as text is, with repetitions at all distances.
    fn text(length: usize) -> Vec<u8> {
        let words = [
            "hub",
            "room",
            "presence",
            "{\"type\":\"message\"}",
            "offset",
        ];
        let mut text = Vec::new();
        let mut state = 7_usize;
        while text.len() < length {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.extend_from_slice(words[(state >> 33) % words.len()].as_bytes());
        }
        text.truncate(length);
        text
    }

    #[test]
    fn what_is_deflated_is_inflated() {
        for length in [LEAST, 100, 256, 257, 5000, 70_000, 300_000] {
            for window in [Window::Full, Window::Small] {
                let payload = text(length);
                let deflated = deflate(&payload, window).unwrap();
                assert!(deflated.len() < length, "{length} {window:?}");
                assert_eq!(inflate(&deflated, length).unwrap(), payload);
                assert_eq!(inflate(&deflated, length - 1), Err(InflateError::TooLarge));
            }
        }
    }

    #[test]
    fn what_does_not_get_smaller_is_left_as_it_is() {
        let random: Vec<u8> = std::iter::repeat_with(rand::random).take(5000).collect();
        assert_eq!(deflate(&random, Window::Full), None);
        assert_eq!(deflate(b"short", Window::Full), None);
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7692, section 7.2.3: one block, a stored block, a final block, two blocks.
        for message in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[
                0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
            ],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[
                0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
            ],
        ] {
            assert_eq!(inflate(message, 100).unwrap(), b"Hello", "{message:x?}");
        }
        assert_eq!(inflate(&[0x00], 100).unwrap(), b"");
    }

    #[test]
    fn a_bomb_is_not_inflated_beyond_its_limit() {
        let deflated = deflate(&vec![0; 50_000_000], Window::Full).unwrap();
        assert!(deflated.len() < 100_000);
        assert_eq!(inflate(&deflated, 65_536), Err(InflateError::TooLarge));
    }

    proptest! {
        #[test]
        fn random_bytes_neither_panic_nor_go_over_the_limit(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            limit in 0_usize..1000,
        ) {
            if let Ok(inflated) = inflate(&bytes, limit) {
                prop_assert!(inflated.len() <= limit);
            }
        }
    }
}
