use super::*;
use crate::side::fake::Fake;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn raw(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn brotli(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::CompressorWriter::new(&mut out, 4096, 9, 22)
        .write_all(text)
        .unwrap();
    out
}

fn all(text: &[u8]) -> [(Coding, Vec<u8>); 4] {
    [
        (Coding::Gzip, gzip(text)),
        (Coding::Deflate, zlib(text)),
        (Coding::Deflate, raw(text)),
        (Coding::Brotli, brotli(text)),
    ]
}

#[test]
fn heads_announce_codings() {
    let read = |values: &[&str]| {
        let fields: Vec<_> = values
            .iter()
            .map(|value| (CONTENT_ENCODING, *value))
            .collect();
        announced(&Fake::new(&fields))
    };
    assert_eq!(read(&[]), Announced::Identity);
    assert_eq!(read(&[" Identity "]), Announced::Identity);
    assert_eq!(read(&["X-GZip"]), Announced::Known(Coding::Gzip));
    assert_eq!(read(&["br"]), Announced::Known(Coding::Brotli));
    assert_eq!(read(&["gzip, br"]), Announced::Unknown);
    assert_eq!(read(&["gzip", "br"]), Announced::Unknown);
    assert_eq!(read(&["zstd"]), Announced::Unknown);
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let megabytes = vec![b'a'; 4 << 20];
    for (coding, bomb) in all(&megabytes) {
        assert!(bomb.len() < 10_000);
        assert_eq!(
            decode(coding, &bomb, 1 << 20),
            Err(DecodeError::TooLarge),
            "{coding:?}"
        );
        assert_eq!(
            decode(coding, &bomb, (4 << 20) - 1),
            Err(DecodeError::TooLarge),
            "{coding:?}"
        );
        assert_eq!(
            decode(coding, &bomb, 4 << 20),
            Ok(megabytes.clone()),
            "{coding:?}"
        );
    }
}

#[test]
fn what_is_cut_or_wrong_is_seen() {
    let text = b"some text that is long enough to be cut somewhere, some text again";
    for (coding, bytes) in all(text) {
        assert_eq!(decode(coding, b"", 100), Ok(Vec::new()), "{coding:?}");
        for end in 1..bytes.len() {
            assert_eq!(
                decode(coding, &bytes[..end], 1000),
                Err(DecodeError::Corrupt),
                "{coding:?} {end}"
            );
        }
        assert_eq!(
            decode(coding, &[0xff; 40], 1000),
            Err(DecodeError::Corrupt),
            "{coding:?}"
        );
    }
}

#[test]
fn gzip_may_have_several_members() {
    let both = [gzip(b"one "), gzip(b"two")].concat();
    assert_eq!(decode(Coding::Gzip, &both, 100).unwrap(), b"one two");
}

proptest! {
    #[test]
    fn decoding_undoes_encoding_however_it_is_cut(text in "([a-d]{1,40}){0,60}", size in 1..50usize) {
        for (coding, bytes) in all(text.as_bytes()) {
            let mut decoder = Decoder::new(coding);
            let mut decoded = Vec::new();
            for piece in bytes.chunks(size) {
                decoded.append(&mut decoder.push(piece, 1 << 20).unwrap());
            }
            decoded.append(&mut decoder.finish(1 << 20).unwrap());
            prop_assert_eq!(decoded, text.as_bytes());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
            let _ = decode(coding, &bytes, 10_000);
        }
    }
}
