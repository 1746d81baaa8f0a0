//! Literal replacement, of a whole text or of one that comes in pieces.
//!
//! From left to right; where several rules match at the same place the first of the list wins; what has been put in is
//! not searched again. A text in pieces gives, whatever the pieces, what the whole text gives.

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;
use std::ops::Range;
use std::rc::Rc;

/// Texts to find, and what takes their place.
#[derive(Debug)]
pub struct Literals {
    rules: Vec<(Vec<u8>, Vec<u8>)>,
    finder: Finder,
    /// Length of the longest text to find.
    longest: usize,
    /// Whether some text is shorter than what takes its place.
    grows: bool,
}

#[derive(Debug)]
enum Finder {
    One(Box<memmem::Finder<'static>>),
    Several(AhoCorasick),
}

impl Literals {
    /// Compiles a list of (find, with). A text to find is not empty.
    pub fn new(rules: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self, String> {
        if rules.iter().any(|(find, _)| find.is_empty()) {
            return Err("find: a text to find is needed".to_owned());
        }
        let finder = match rules.as_slice() {
            [(find, _)] => Finder::One(Box::new(memmem::Finder::new(find).into_owned())),
            several => {
                let finds = several.iter().map(|(find, _)| find);
                let automaton = AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostFirst)
                    .build(finds);
                Finder::Several(automaton.map_err(|error| error.to_string())?)
            }
        };
        let longest = rules
            .iter()
            .map(|(find, _)| find.len())
            .max()
            .unwrap_or_default();
        let grows = rules.iter().any(|(find, with)| find.len() < with.len());
        Ok(Self {
            rules,
            finder,
            longest,
            grows,
        })
    }

    /// The next match at `from` or after it, and the rule that it is of.
    fn find(&self, text: &[u8], from: usize) -> Option<(Range<usize>, usize)> {
        match &self.finder {
            Finder::One(finder) => {
                let start = from + finder.find(text.get(from..)?)?;
                Some((start..start + self.longest, 0))
            }
            Finder::Several(automaton) => {
                let input = aho_corasick::Input::new(text).range(from.min(text.len())..);
                automaton
                    .find(input)
                    .map(|found| (found.range(), found.pattern().as_usize()))
            }
        }
    }

    fn with(&self, rule: usize) -> &[u8] {
        self.rules.get(rule).map_or(b"", |(_, with)| with)
    }

    /// The text with all matches replaced; `None` where there is none.
    pub fn replace_all(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut next = self.find(text, 0);
        next.as_ref()?;
        // An eighth is enough for most texts; a list of matches, to know exactly, may take more than the text.
        let more = if self.grows { text.len() / 8 + 64 } else { 0 };
        let mut out = Vec::with_capacity(text.len() + more);
        let mut done = 0;
        while let Some((found, rule)) = next {
            out.extend_from_slice(text.get(done..found.start).unwrap_or_default());
            out.extend_from_slice(self.with(rule));
            done = found.end;
            next = self.find(text, done);
        }
        out.extend_from_slice(text.get(done..).unwrap_or_default());
        Some(out)
    }

    /// What is at the beginning of `rest`, which is what has come of the text so far.
    fn at(&self, rest: &[u8]) -> Here {
        for (rule, (find, _)) in self.rules.iter().enumerate() {
            if rest.starts_with(find) {
                return Here::Match(rule, find.len());
            }
            // What comes next may complete a rule that stands before all others that match here.
            if find.starts_with(rest) {
                return Here::Undecided;
            }
        }
        Here::Nothing
    }
}

enum Here {
    Match(usize, usize),
    Undecided,
    Nothing,
}

/// Replaces in a text that comes in pieces. It holds back only what may be the beginning of a match, so that lines
/// of a slow stream are not kept waiting.
#[derive(Debug)]
pub struct Scanner {
    literals: Rc<Literals>,
    held: Vec<u8>,
}

impl Scanner {
    /// Before the first piece.
    pub fn new(literals: Rc<Literals>) -> Self {
        Self {
            literals,
            held: Vec::new(),
        }
    }

    /// The next piece; what is certain goes to `out`.
    pub fn push(&mut self, piece: Vec<u8>, out: &mut Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        let text = if self.held.is_empty() {
            piece
        } else {
            let mut text = std::mem::take(&mut self.held);
            text.extend_from_slice(&piece);
            text
        };
        let literals = &*self.literals;
        // A match that begins before this place has all its bytes here, and so has every rule that could win over it.
        let certain = (text.len() + 1).saturating_sub(literals.longest);
        out.reserve(text.len());
        let mut done = 0;
        while let Some((found, rule)) = literals.find(&text, done) {
            if found.start >= certain {
                break;
            }
            out.extend_from_slice(text.get(done..found.start).unwrap_or_default());
            out.extend_from_slice(literals.with(rule));
            done = found.end;
        }
        // From here each place is looked at by itself; there are fewer than the longest rule has bytes.
        let mut at = done.max(certain);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            match literals.at(rest) {
                Here::Nothing => at += 1,
                Here::Undecided => break,
                Here::Match(rule, length) => {
                    out.extend_from_slice(text.get(done..at).unwrap_or_default());
                    out.extend_from_slice(literals.with(rule));
                    at += length;
                    done = at;
                }
            }
        }
        out.extend_from_slice(text.get(done..at).unwrap_or_default());
        self.held
            .extend_from_slice(text.get(at..).unwrap_or_default());
    }

    /// The text has ended: what was held back is decided by itself.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        match self.literals.replace_all(&held) {
            Some(mut replaced) => out.append(&mut replaced),
            None => out.extend_from_slice(&held),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn literals(rules: &[(&str, &str)]) -> Literals {
        Literals::new(
            rules
                .iter()
                .map(|(f, w)| (f.as_bytes().to_vec(), w.as_bytes().to_vec()))
                .collect(),
        )
        .unwrap()
    }

    fn whole(literals: &Literals, text: &[u8]) -> Vec<u8> {
        literals.replace_all(text).unwrap_or_else(|| text.to_vec())
    }

    fn in_pieces(literals: Literals, pieces: &[&[u8]]) -> Vec<u8> {
        let mut scanner = Scanner::new(Rc::new(literals));
        let mut out = Vec::new();
        for piece in pieces {
            scanner.push(piece.to_vec(), &mut out);
        }
        scanner.finish(&mut out);
        out
    }

    #[test]
    fn the_first_rule_wins_and_nothing_is_searched_again() {
        assert_eq!(
            whole(&literals(&[("ab", "1"), ("abc", "2")]), b"abcab"),
            b"1c1"
        );
        assert_eq!(
            whole(&literals(&[("abc", "2"), ("ab", "1")]), b"abcab"),
            b"21"
        );
        assert_eq!(
            whole(&literals(&[("a", "b"), ("b", "a")]), b"abba"),
            b"baab"
        );
        assert_eq!(whole(&literals(&[("a", "aa")]), b"aaa"), b"aaaaaa");
        assert_eq!(whole(&literals(&[("aa", "b")]), b"aaa"), b"ba");
        assert_eq!(literals(&[("x", "y")]).replace_all(b"abc"), None);
        assert!(Literals::new(vec![(Vec::new(), Vec::new())]).is_err());
    }

    #[test]
    fn matches_that_cross_pieces_are_found() {
        assert_eq!(
            in_pieces(
                literals(&[("hello", "bye")]),
                &[b"he", b"l", b"", b"lo wor", b"ld hell"]
            ),
            b"bye world hell"
        );
        assert_eq!(
            in_pieces(literals(&[("abc", "2"), ("ab", "1")]), &[b"ab", b"cab"]),
            b"21"
        );
    }

    #[test]
    fn only_the_beginning_of_a_match_is_held_back() {
        let mut scanner = Scanner::new(Rc::new(literals(&[("a long secret", "x"), ("\n\n", "y")])));
        let mut out = Vec::new();
        scanner.push(b"data: a line".to_vec(), &mut out);
        assert_eq!(out, b"data: a line");
        scanner.push(b" a lo".to_vec(), &mut out);
        assert_eq!(out, b"data: a line ");
        scanner.push(b"t\n".to_vec(), &mut out);
        assert_eq!(out, b"data: a line a lot");
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(
            rules in prop::collection::vec(("[ab]{1,5}", "[abX]{0,3}"), 1..5),
            pieces in prop::collection::vec("[abc]{0,7}", 0..12),
        ) {
            let rules: Vec<_> = rules.iter().map(|(f, w)| (f.as_str(), w.as_str())).collect();
            let text = pieces.concat();
            let expected = whole(&literals(&rules), text.as_bytes());
            let pieces: Vec<_> = pieces.iter().map(String::as_bytes).collect();
            prop_assert_eq!(in_pieces(literals(&rules), &pieces), expected.clone());
            let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
            prop_assert_eq!(in_pieces(literals(&rules), &bytes), expected);
        }

        #[test]
        fn the_whole_is_what_a_simple_search_gives(
            rules in prop::collection::vec(("[ab]{1,4}", "[abX]{0,3}"), 1..5), text in "[abc]{0,30}",
        ) {
            let rules: Vec<_> = rules.iter().map(|(f, w)| (f.as_str(), w.as_str())).collect();
            let mut expected = String::new();
            let mut rest = text.as_str();
            while let Some(first) = rest.chars().next() {
                if let Some((find, with)) = rules.iter().find(|(find, _)| rest.starts_with(find)) {
                    expected.push_str(with);
                    rest = &rest[find.len()..];
                } else {
                    expected.push(first);
                    rest = &rest[1..];
                }
            }
            prop_assert_eq!(whole(&literals(&rules), text.as_bytes()), expected.into_bytes());
        }
    }
}
