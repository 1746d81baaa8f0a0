//! The criterion `path`: a trie of segments.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{Params, Pattern, Segment};

/// A tree in which every step down is one segment of a path. `E` is what is kept at the end of a
/// pattern.
#[derive(Debug)]
pub(super) struct Trie<E> {
    root: Node<E>,
}

#[derive(Debug)]
struct Node<E> {
    literals: BTreeMap<Box<str>, Node<E>>,
    parameter: Option<Box<Node<E>>>,
    /// Patterns that end here.
    ends: Vec<E>,
    /// Patterns that end here in a wildcard.
    wildcards: Vec<E>,
}

impl<E> Default for Trie<E> {
    fn default() -> Self {
        Self {
            root: Node::default(),
        }
    }
}

impl<E> Default for Node<E> {
    fn default() -> Self {
        Self {
            literals: BTreeMap::new(),
            parameter: None,
            ends: Vec::new(),
            wildcards: Vec::new(),
        }
    }
}

impl<E> Trie<E> {
    pub(super) fn insert(&mut self, pattern: &Pattern, end: E) {
        let mut node = &mut self.root;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.as_str().into()).or_default(),
                Segment::Parameter(_) => node.parameter.get_or_insert_default(),
                Segment::Wildcard(_) => {
                    node.wildcards.push(end);
                    return;
                }
            };
        }
        node.ends.push(end);
    }

    /// Visits the ends of all patterns that fit the path, the most specific first, until `visit`
    /// breaks. The ends of equal patterns come together, in the order of their insertion. `params`
    /// holds the values at each visit.
    ///
    /// It goes to each node at most once, since a node stands for one place in the path: a path
    /// cannot make the search take more steps than the trie has nodes. It goes as deep as the
    /// longest pattern, not the path.
    pub(super) fn visit<B>(
        &self,
        path: &str,
        params: &mut Params,
        mut visit: impl FnMut(&[E], &Params) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        // `OPTIONS *` and the empty path of CONNECT fit no pattern. Nor does what is longer than a
        // place in it can say.
        let (Some(rest), Ok(len)) = (path.strip_prefix('/'), u32::try_from(path.len())) else {
            return ControlFlow::Continue(());
        };
        self.root.visit(rest, len, params, &mut visit)
    }
}

impl<E> Node<E> {
    /// `rest` is what of the path is left below this node, `len` the length of the whole path.
    fn visit<B>(
        &self,
        rest: &str,
        len: u32,
        params: &mut Params,
        visit: &mut impl FnMut(&[E], &Params) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let (segment, below) = match rest.split_once('/') {
            Some((segment, below)) => (segment, Some(below)),
            None => (rest, None),
        };
        if let Some(node) = self.literals.get(segment) {
            node.step(below, len, params, visit)?;
        }
        let start = len.saturating_sub(length(rest));
        if let Some(node) = &self.parameter
            && !segment.is_empty()
        {
            params.push(start..start + length(segment));
            node.step(below, len, params, visit)?;
            params.pop();
        }
        if !self.wildcards.is_empty() {
            params.push(start..len);
            visit(&self.wildcards, params)?;
            params.pop();
        }
        ControlFlow::Continue(())
    }

    fn step<B>(
        &self,
        below: Option<&str>,
        len: u32,
        params: &mut Params,
        visit: &mut impl FnMut(&[E], &Params) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match below {
            Some(rest) => self.visit(rest, len, params, visit),
            None if self.ends.is_empty() => ControlFlow::Continue(()),
            None => visit(&self.ends, params),
        }
    }
}

/// The length of a part of a path whose own length fits.
fn length(part: &str) -> u32 {
    part.len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The patterns that fit, best first, each with its values.
    fn fits(patterns: &[&'static str], path: &str) -> Vec<String> {
        let mut trie = Trie::default();
        for text in patterns {
            trie.insert(&Pattern::parse(text).unwrap(), *text);
        }
        let mut fits = Vec::new();
        let flow: ControlFlow<()> = trie.visit(path, &mut Params::default(), |ends, params| {
            for text in ends {
                let pattern = Pattern::parse(text).unwrap();
                let values = params
                    .iter(&pattern, path)
                    .map(|(name, value)| format!(" {name}={value}"));
                fits.push((*text).to_owned() + &values.collect::<String>());
            }
            ControlFlow::Continue(())
        });
        assert!(flow.is_continue());
        fits
    }

    #[test]
    fn the_most_specific_comes_first() {
        let patterns = [
            "/{*all}",
            "/a/{*rest}",
            "/a/{x}",
            "/{x}/b",
            "/a/b",
            "/{x}/{y}",
        ];
        let expected = [
            "/a/b",
            "/a/{x} x=b",
            "/a/{*rest} rest=b",
            "/{x}/b x=a",
            "/{x}/{y} x=a y=b",
            "/{*all} all=a/b",
        ];
        assert_eq!(fits(&patterns, "/a/b"), expected);
    }

    #[test]
    fn the_search_turns_back_from_dead_ends() {
        let patterns = ["/a/{x}/c", "/a/b/d"];
        assert_eq!(fits(&patterns, "/a/b/c"), ["/a/{x}/c x=b"]);
        assert_eq!(fits(&patterns, "/a/b/d"), ["/a/b/d"]);
        assert_eq!(fits(&patterns, "/a/b/e"), [""; 0]);
    }

    #[test]
    fn a_parameter_is_one_segment_that_is_not_empty() {
        assert_eq!(fits(&["/u/{id}"], "/u/7"), ["/u/{id} id=7"]);
        assert_eq!(fits(&["/u/{id}"], "/u/a%2Fb"), ["/u/{id} id=a%2Fb"]);
        assert_eq!(fits(&["/u/{id}"], "/u/"), [""; 0]);
        assert_eq!(fits(&["/u/{id}"], "/u"), [""; 0]);
        assert_eq!(fits(&["/u/{id}"], "/u/7/"), [""; 0]);
        assert_eq!(fits(&["/u/{id}/"], "/u//"), [""; 0]);
    }

    #[test]
    fn a_wildcard_may_match_nothing_after_the_slash() {
        let patterns = ["/f/{*rest}", "/f"];
        assert_eq!(fits(&patterns, "/f/a/b"), ["/f/{*rest} rest=a/b"]);
        assert_eq!(fits(&patterns, "/f/a//"), ["/f/{*rest} rest=a//"]);
        assert_eq!(fits(&patterns, "/f/"), ["/f/{*rest} rest="]);
        assert_eq!(fits(&patterns, "/f"), ["/f"]);
        assert_eq!(fits(&["/{*rest}"], "/"), ["/{*rest} rest="]);
    }

    #[test]
    fn slashes_and_case_are_significant() {
        assert_eq!(fits(&["/a", "/a/"], "/a"), ["/a"]);
        assert_eq!(fits(&["/a", "/a/"], "/a/"), ["/a/"]);
        assert_eq!(fits(&["/a", "/a/"], "/a//"), [""; 0]);
        assert_eq!(fits(&["/a"], "/A"), [""; 0]);
        assert_eq!(fits(&["/"], "/"), ["/"]);
        assert_eq!(fits(&["/{*all}", "/"], "*"), [""; 0]);
        assert_eq!(fits(&["/{*all}", "/"], ""), [""; 0]);
    }

    #[test]
    fn the_search_goes_as_deep_as_the_patterns_and_not_as_the_path() {
        let path = "/a".repeat(1_000_000);
        let values = format!("/a/{{x}}/{{*rest}} x=a rest={}", &path[5..]);
        assert_eq!(fits(&["/a/{x}/{*rest}", "/a/a/a/b"], &path), [values]);
    }
}
