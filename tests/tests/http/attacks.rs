//! The attacks that [`super::smuggling`] tries: one line each.

/// What is to become of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Refused by its head: nothing at all goes upstream.
    Head(u16),
    /// Refused by its body: no whole request goes upstream.
    Body,
}
use Verdict::{Body, Head};

/// Name, the fields that frame a `POST /`, what follows the head, and the verdict.
pub(crate) type Attack = (&'static str, &'static str, &'static str, Verdict);

/// The classical ones, and what parsers were found to disagree about since.
#[rustfmt::skip]
pub(crate) const ATTACKS: &[Attack] = &[
    // CL.TE and TE.CL: two framings, and two readers who each believe another one.
    ("length, then chunked", "content-length: 6\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n", Head(400)),
    ("chunked, then length", "transfer-encoding: chunked\r\ncontent-length: 4\r\n", "24\r\n", Head(400)),
    ("chunked with a length of 0", "content-length: 0\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n", Head(400)),
    ("chunked with a broken length", "transfer-encoding: chunked\r\ncontent-length: x\r\n", "0\r\n\r\n", Head(400)),
    // CL.CL
    ("two lengths", "content-length: 0\r\ncontent-length: 36\r\n", "", Head(400)),
    ("two lengths, the other way round", "content-length: 36\r\ncontent-length: 0\r\n", "", Head(400)),
    ("the same length twice", "content-length: 0\r\nContent-Length: 0\r\n", "", Head(400)),
    ("a list of lengths", "content-length: 0, 36\r\n", "", Head(400)),
    ("a list of equal lengths", "content-length: 0, 0\r\n", "", Head(400)),
    // Lengths that parsers read differently.
    ("a length with a plus", "content-length: +0\r\n", "", Head(400)),
    ("a length with a minus", "content-length: -0\r\n", "", Head(400)),
    ("a hexadecimal length", "content-length: 0x24\r\n", "", Head(400)),
    ("a length with a fraction", "content-length: 0.0\r\n", "", Head(400)),
    ("a length with an exponent", "content-length: 0e1\r\n", "", Head(400)),
    ("a length with an underscore", "content-length: 3_6\r\n", "", Head(400)),
    ("a length with a space within", "content-length: 0 36\r\n", "", Head(400)),
    ("a length beyond 64 bits", "content-length: 18446744073709551616\r\n", "", Head(400)),
    ("a length beyond 64 bits that wraps to 36", "content-length: 18446744073709551652\r\n", "", Head(400)),
    ("an empty length", "content-length: \r\n", "", Head(400)),
    ("a quoted length", "content-length: \"0\"\r\n", "", Head(400)),
    ("a length with a vertical tab", "content-length: \x0b0\r\n", "", Head(400)),
    ("a length in digits of another script", "content-length: \u{0663}\u{0666}\r\n", "", Head(400)),
    ("a length and a comment", "content-length: 0;x\r\n", "", Head(400)),
    // Names that are nearly right.
    ("a space before the colon of the length", "content-length : 36\r\n", "", Head(400)),
    ("a tab before the colon of the coding", "transfer-encoding\t: chunked\r\n", "0\r\n\r\n", Head(400)),
    ("a fold before the length", "x: y\r\n content-length: 36\r\n", "", Head(400)),
    ("a folded coding", "transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n", Head(400)),
    ("a bare LF before the coding", "x: y\ntransfer-encoding: chunked\r\n", "0\r\n\r\n", Head(400)),
    ("a bare CR before the coding", "x: y\rtransfer-encoding: chunked\r\n", "0\r\n\r\n", Head(400)),
    ("NUL before the coding", "\0transfer-encoding: chunked\r\n", "0\r\n\r\n", Head(400)),
    ("a vertical tab in the name", "transfer\x0b-encoding: chunked\r\n", "0\r\n\r\n", Head(400)),
    // TE.TE: a coding that one reader takes for chunked, and another does not.
    ("two codings", "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", "0\r\n\r\n", Head(400)),
    ("two codings, the other way round", "transfer-encoding: x\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n", Head(400)),
    ("chunked twice", "transfer-encoding: chunked, chunked\r\n", "0\r\n\r\n", Head(501)),
    ("chunked not last", "transfer-encoding: chunked, identity\r\n", "0\r\n\r\n", Head(400)),
    ("identity", "transfer-encoding: identity\r\n", "", Head(400)),
    ("identity with a length", "transfer-encoding: identity\r\ncontent-length: 36\r\n", "", Head(400)),
    ("xchunked", "transfer-encoding: xchunked\r\n", "0\r\n\r\n", Head(400)),
    ("chunkedx", "transfer-encoding: chunkedx\r\n", "0\r\n\r\n", Head(400)),
    ("a quoted coding", "transfer-encoding: \"chunked\"\r\n", "0\r\n\r\n", Head(400)),
    ("a coding in quotes of the other kind", "transfer-encoding: 'chunked'\r\n", "0\r\n\r\n", Head(400)),
    ("a coding with a vertical tab", "transfer-encoding: \x0bchunked\r\n", "0\r\n\r\n", Head(400)),
    ("a coding with a form feed", "transfer-encoding: chunked\x0c\r\n", "0\r\n\r\n", Head(400)),
    ("a coding with NUL", "transfer-encoding: chunked\0\r\n", "0\r\n\r\n", Head(400)),
    ("a coding with DEL", "transfer-encoding: chunked\x7f\r\n", "0\r\n\r\n", Head(400)),
    ("a coding with a byte beyond ASCII", "transfer-encoding: \u{a0}chunked\r\n", "0\r\n\r\n", Head(400)),
    ("a coding with a CR", "transfer-encoding: chunked\r\r\n", "0\r\n\r\n", Head(400)),
    ("a coding with a parameter", "transfer-encoding: chunked;q=1\r\n", "0\r\n\r\n", Head(400)),
    ("an empty coding", "transfer-encoding:\r\n", "", Head(400)),
    ("a comma and chunked", "transfer-encoding: , chunked\r\n", "0\r\n\r\n", Head(501)),
    ("chunked and a comma", "transfer-encoding: chunked,\r\n", "0\r\n\r\n", Head(400)),
    // Chunk sizes.
    ("a chunk size beyond 64 bits", "transfer-encoding: chunked\r\n", "10000000000000000\r\n", Body),
    ("a chunk size that wraps to 0", "transfer-encoding: chunked\r\n", "100000000000000000000000000000000\r\n\r\n", Body),
    ("a chunk size that wraps to 36", "transfer-encoding: chunked\r\n", "10000000000000024\r\n", Body),
    ("a chunk size with 0x", "transfer-encoding: chunked\r\n", "0x0\r\n\r\n", Body),
    ("a chunk size with a plus", "transfer-encoding: chunked\r\n", "+0\r\n\r\n", Body),
    ("a chunk size with a minus", "transfer-encoding: chunked\r\n", "-1\r\n\r\n", Body),
    ("a chunk size with a space before", "transfer-encoding: chunked\r\n", " 0\r\n\r\n", Body),
    ("a chunk size with a space behind", "transfer-encoding: chunked\r\n", "0 \r\n\r\n", Body),
    ("a chunk size with a tab behind", "transfer-encoding: chunked\r\n", "0\t\r\n\r\n", Body),
    ("a chunk size with an underscore", "transfer-encoding: chunked\r\n", "0_0\r\n\r\n", Body),
    ("no chunk size", "transfer-encoding: chunked\r\n", "\r\n\r\n", Body),
    ("a chunk size that is none", "transfer-encoding: chunked\r\n", "xyz\r\n\r\n", Body),
    ("NUL in a chunk size", "transfer-encoding: chunked\r\n", "0\0\r\n\r\n", Body),
    // Chunk lines and ends.
    ("a bare LF behind a chunk size", "transfer-encoding: chunked\r\n", "0\n\r\n", Body),
    ("bare LF all over", "transfer-encoding: chunked\r\n", "1\na\n0\n\n", Body),
    ("a bare CR behind a chunk size", "transfer-encoding: chunked\r\n", "0\r\r\n\r\n", Body),
    ("a bare LF in an extension", "transfer-encoding: chunked\r\n", "1;a\nb\r\nx\r\n0\r\n\r\n", Body),
    ("a bare CR in an extension", "transfer-encoding: chunked\r\n", "1;a\rb\r\nx\r\n0\r\n\r\n", Body),
    ("a control character in an extension", "transfer-encoding: chunked\r\n", "1;a\x01\r\nx\r\n0\r\n\r\n", Body),
    ("data behind a chunk", "transfer-encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n", Body),
    ("no CRLF behind a chunk", "transfer-encoding: chunked\r\n", "1\r\na0\r\n\r\n", Body),
    ("a bare LF behind a chunk", "transfer-encoding: chunked\r\n", "1\r\na\n0\r\n\r\n", Body),
    ("LF CR behind a chunk", "transfer-encoding: chunked\r\n", "1\r\na\n\r0\r\n\r\n", Body),
    // Trailers.
    ("a bare LF in a trailer", "transfer-encoding: chunked\r\n", "0\r\nx: y\n\r\n", Body),
    ("a bare LF instead of the last line", "transfer-encoding: chunked\r\n", "0\r\n\n", Body),
    ("a fold in a trailer", "transfer-encoding: chunked\r\n", "0\r\nx: y\r\n z\r\n\r\n", Body),
    ("NUL in a trailer", "transfer-encoding: chunked\r\n", "0\r\nx: \0\r\n\r\n", Body),
    ("a trailer without a name", "transfer-encoding: chunked\r\n", "0\r\n: y\r\n\r\n", Body),
];
