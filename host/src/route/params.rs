//! The values of path parameters.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode_str;

use super::Pattern;

/// Where the values of a route's path parameters stand in the path.
///
/// They are ranges and neither names nor values: those are in the [`Pattern`] and in the path, and
/// an exchange keeps both, so finding them costs no allocation and no reference count. Every method
/// wants the pattern of the route that was found and the very path that was looked up; with others
/// the answers make no sense, but nothing panics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    first: [Place; INLINE],
    /// From the ninth on.
    further: Vec<Place>,
    len: usize,
}

/// Enough for every pattern in practice; a ninth parameter costs an allocation.
const INLINE: usize = 8;

/// A range in the path. 32 bits: a table does not match longer paths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    start: u32,
    end: u32,
}

impl Params {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the route has no parameters.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A parameter's value as it stands in the path, percent-encoded.
    pub fn get<'p>(&self, pattern: &Pattern, path: &'p str, name: &str) -> Option<&'p str> {
        self.iter(pattern, path)
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// A parameter's value, percent-decoded; `None` also if what comes out is not UTF-8. Beware
    /// that a decoded value may contain anything: slashes, dots, line ends.
    pub fn decoded<'p>(
        &self,
        pattern: &Pattern,
        path: &'p str,
        name: &str,
    ) -> Option<Cow<'p, str>> {
        percent_decode_str(self.get(pattern, path, name)?)
            .decode_utf8()
            .ok()
    }

    /// Names and values as they stand in the path, from the left.
    pub fn iter<'a, 'p>(
        &'a self,
        pattern: &'a Pattern,
        path: &'p str,
    ) -> impl Iterator<Item = (&'a str, &'p str)> + use<'a, 'p> {
        let values = self.places().map(move |place| {
            path.get(place.start as usize..place.end as usize)
                .unwrap_or_default()
        });
        pattern.names().zip(values)
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        self.first
            .iter()
            .chain(&self.further)
            .take(self.len)
            .copied()
    }

    pub(super) fn push(&mut self, range: Range<u32>) {
        let place = Place {
            start: range.start,
            end: range.end,
        };
        match self.first.get_mut(self.len) {
            Some(free) => *free = place,
            None => self.further.push(place),
        }
        self.len += 1;
    }

    /// Takes back the last [`push`](Self::push).
    pub(super) fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
        match self.first.get_mut(self.len) {
            // Two lists of the same places are equal, whatever was tried in between.
            Some(taken) => *taken = Place::default(),
            None => {
                self.further.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, ranges: &[Range<u32>]) -> (Pattern, Params) {
        let mut params = Params::default();
        for range in ranges {
            params.push(range.clone());
        }
        (Pattern::parse(pattern).unwrap(), params)
    }

    #[test]
    fn values_are_found_by_name() {
        let (pattern, params) = found("/{a}/x/{b}", &[1..3, 6..9]);
        let path = "/12/x/a%62";
        assert_eq!(params.get(&pattern, path, "a"), Some("12"));
        assert_eq!(params.get(&pattern, path, "b"), Some("a%6"));
        assert_eq!(params.get(&pattern, path, "c"), None);
        assert_eq!(params.len(), 2);
        assert!(!params.is_empty());
    }

    #[test]
    fn values_are_decoded() {
        let path = "/a%20%C3%BC%2F+b/%FF/plain";
        let (pattern, params) = found("/{a}/{b}/{c}", &[1..16, 17..20, 21..26]);
        assert_eq!(
            params.decoded(&pattern, path, "a").as_deref(),
            Some("a ü/+b")
        );
        assert_eq!(params.decoded(&pattern, path, "b"), None);
        assert!(matches!(
            params.decoded(&pattern, path, "c"),
            Some(Cow::Borrowed("plain"))
        ));
        assert_eq!(params.decoded(&pattern, path, "d"), None);
    }

    #[test]
    fn more_than_eight_work() {
        let names = "/{p0}/{p1}/{p2}/{p3}/{p4}/{p5}/{p6}/{p7}/{p8}/{p9}/{p10}/{p11}";
        let path = "/0/1/2/3/4/5/6/7/8/9/a/b";
        let mut params = Params::default();
        for round in 0..2 {
            (0..12).for_each(|number| params.push(number * 2 + 1..number * 2 + 2));
            if round == 0 {
                (0..12).for_each(|_| params.pop());
                assert!(params.is_empty());
                assert_eq!(params, Params::default());
            }
        }
        let pattern = Pattern::parse(names).unwrap();
        let values: String = params
            .iter(&pattern, path)
            .map(|(_, value)| value)
            .collect();
        assert_eq!(values, "0123456789ab");
        assert_eq!(params.get(&pattern, path, "p11"), Some("b"));
    }

    #[test]
    fn another_path_gives_nonsense_but_no_panic() {
        let (pattern, params) = found("/{a}/{b}", &[2..9, 1..2]);
        let values: Vec<_> = params.iter(&pattern, "/é").collect();
        assert_eq!(values, [("a", ""), ("b", "")]);
    }
}
