//! The table of all routes.

use std::collections::HashMap;
use std::ops::ControlFlow;

use http::Method;

use super::path::Trie;
use super::{HostPattern, Params, Pattern, host, method};

/// What a request has to be like for a route.
#[derive(Debug, Clone)]
pub struct Rule {
    /// `None`: any host.
    pub host: Option<HostPattern>,
    /// The path.
    pub pattern: Pattern,
    /// Empty: any method.
    pub methods: Vec<Method>,
}

/// All routes, ordered for the search. The module's page says which one wins.
#[derive(Debug)]
pub struct Table {
    exact: HashMap<String, Trie<End>>,
    below: HashMap<String, Trie<End>>,
    any: Trie<End>,
    patterns: Vec<Pattern>,
}

/// A route at the end of its pattern.
#[derive(Debug)]
struct End {
    route: usize,
    methods: Vec<Method>,
}

/// What a [`Table`] says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The route of the request.
    Found {
        /// The index of its [`Rule`].
        route: usize,
        /// The values of its path parameters.
        params: Params,
    },
    /// There are routes for this host and path, but none for this method.
    MethodNotAllowed {
        /// What the `Allow` header has to list (RFC 9110, section 15.5.6): the methods of all these
        /// routes, each once, in alphabetical order.
        allow: Vec<Method>,
    },
    /// There is no route for this host and path.
    NotFound,
}

impl Table {
    /// Orders the routes. A rule's index in the list is the route's index in what is found.
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut table = Self {
            exact: HashMap::new(),
            below: HashMap::new(),
            any: Trie::default(),
            patterns: Vec::with_capacity(rules.len()),
        };
        for (route, rule) in rules.into_iter().enumerate() {
            let trie = match rule.host {
                Some(HostPattern::Exact(host)) => table.exact.entry(host).or_default(),
                Some(HostPattern::Below(domain)) => table.below.entry(domain).or_default(),
                None => &mut table.any,
            };
            trie.insert(
                &rule.pattern,
                End {
                    route,
                    methods: rule.methods,
                },
            );
            table.patterns.push(rule.pattern);
        }
        table
    }

    /// Finds the route of a request.
    ///
    /// `host` is in lower case and without port, empty if the request has none. `path` is without
    /// query, percent-encoded and normalised: no dot segments, no escapes of unreserved characters
    /// (RFC 3986, section 6.2.2), upper case digits in the others if patterns write them so.
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Lookup {
        let mut params = Params::default();
        for trie in self.tries(host) {
            let search = trie.visit(path, &mut params, |ends, _| best(ends, method));
            if let ControlFlow::Break(route) = search {
                return Lookup::Found { route, params };
            }
        }
        // Rare, so it may walk a second time and allocate.
        let mut listed = Vec::new();
        for trie in self.tries(host) {
            let _: ControlFlow<()> = trie.visit(path, &mut params, |ends, _| {
                listed.extend(ends.iter().flat_map(|end| &end.methods).cloned());
                ControlFlow::Continue(())
            });
        }
        if listed.is_empty() {
            Lookup::NotFound
        } else {
            Lookup::MethodNotAllowed {
                allow: method::allow(listed),
            }
        }
    }

    /// The pattern of a route, which the [`Params`] of a request are read with.
    pub fn pattern(&self, route: usize) -> Option<&Pattern> {
        self.patterns.get(route)
    }

    /// The tries of all hosts that fit, the most specific first.
    fn tries(&self, host: &str) -> impl Iterator<Item = &Trie<End>> {
        // Without wildcard hosts the walk over the domains is saved.
        let domains = (!self.below.is_empty())
            .then(|| host::parents(host))
            .into_iter()
            .flatten();
        let below = domains.filter_map(|domain| self.below.get(domain));
        self.exact
            .get(host)
            .into_iter()
            .chain(below)
            .chain([&self.any])
    }
}

/// The best of the routes with one pattern; the first listed at a tie.
fn best(ends: &[End], method: &Method) -> ControlFlow<usize> {
    let fits = ends
        .iter()
        .filter_map(|end| Some((method::fit(&end.methods, method)?, end.route)));
    fits.min().map_or(ControlFlow::Continue(()), |(_, route)| {
        ControlFlow::Break(route)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `"GET,POST a.test/users/{id}"`: methods or `-`, host or nothing, path.
    fn table(rules: &[&str]) -> Table {
        let rule = |text: &&str| {
            let (methods, target) = text.split_once(' ').unwrap();
            let (host, _) = target.split_once('/').unwrap();
            let methods = methods.split(',').filter(|method| *method != "-");
            Rule {
                host: Some(host)
                    .filter(|host| !host.is_empty())
                    .map(|host| host.parse().unwrap()),
                pattern: target[host.len()..].parse().unwrap(),
                methods: methods.map(|method| method.parse().unwrap()).collect(),
            }
        };
        Table::new(rules.iter().map(rule).collect())
    }

    /// The index that is found, or `405 A, B`, or 404.
    fn find(table: &Table, request: &str) -> String {
        let (method, target) = request.split_once(' ').unwrap();
        let (host, _) = target.split_once('/').unwrap();
        match table.find(host, &target[host.len()..], &method.parse().unwrap()) {
            Lookup::Found { route, .. } => route.to_string(),
            Lookup::MethodNotAllowed { allow } => format!("405 {allow:?}"),
            Lookup::NotFound => "404".to_owned(),
        }
    }

    #[test]
    fn hosts_go_from_exact_over_the_longest_suffix_to_any() {
        let table = table(&["- /", "- *.test/", "- *.a.test/", "- b.a.test/"]);
        assert_eq!(find(&table, "GET b.a.test/"), "3");
        assert_eq!(find(&table, "GET c.a.test/"), "2");
        assert_eq!(find(&table, "GET d.c.a.test/"), "2");
        assert_eq!(find(&table, "GET a.test/"), "1");
        assert_eq!(find(&table, "GET test/"), "0");
        assert_eq!(find(&table, "GET xa.test/"), "1");
        assert_eq!(find(&table, "GET /"), "0");
    }

    #[test]
    fn the_host_counts_more_than_the_path_and_the_path_more_than_the_method() {
        let table = table(&["GET /a", "- a.test/{x}", "- /b", "GET /{x}"]);
        assert_eq!(find(&table, "GET a.test/a"), "1");
        assert_eq!(find(&table, "GET /b"), "2");
    }

    #[test]
    fn a_specific_host_without_the_path_falls_back() {
        let table = table(&["- /only-any", "- *.test/only-below", "- a.test/only-exact"]);
        assert_eq!(find(&table, "GET a.test/only-exact"), "2");
        assert_eq!(find(&table, "GET a.test/only-below"), "1");
        assert_eq!(find(&table, "GET a.test/only-any"), "0");
        assert_eq!(find(&table, "GET b.test/only-exact"), "404");
    }

    #[test]
    fn listed_methods_come_before_all_and_then_the_order_counts() {
        let table = table(&["- /a", "GET /a", "GET,POST /a", "HEAD /a", "- /a"]);
        assert_eq!(find(&table, "GET /a"), "1");
        assert_eq!(find(&table, "POST /a"), "2");
        assert_eq!(find(&table, "HEAD /a"), "3");
        assert_eq!(find(&table, "BREW /a"), "0");
    }

    #[test]
    fn a_route_for_another_method_hides_nothing() {
        let table = table(&["POST a.test/a/b", "GET a.test/a/{x}", "DELETE /a/{*rest}"]);
        assert_eq!(find(&table, "POST a.test/a/b"), "0");
        assert_eq!(find(&table, "HEAD a.test/a/b"), "1");
        assert_eq!(find(&table, "DELETE a.test/a/b"), "2");
    }

    #[test]
    fn method_not_allowed_lists_what_is_allowed_at_all_levels() {
        let table = table(&[
            "POST a.test/a/b",
            "GET a.test/a/{x}",
            "DELETE,POST /a/{*rest}",
        ]);
        assert_eq!(
            find(&table, "PUT a.test/a/b"),
            "405 [DELETE, GET, HEAD, POST]"
        );
        assert_eq!(
            find(&table, "OPTIONS a.test/a/c"),
            "405 [DELETE, GET, HEAD, POST]"
        );
        assert_eq!(find(&table, "GET b.test/a/c"), "405 [DELETE, POST]");
        assert_eq!(find(&table, "PUT a.test/b"), "404");
    }

    #[test]
    fn what_is_no_path_is_not_found() {
        let table = table(&["- /", "- /{*all}"]);
        assert_eq!(table.find("", "*", &Method::OPTIONS), Lookup::NotFound);
        assert_eq!(table.find("", "", &Method::CONNECT), Lookup::NotFound);
    }

    #[test]
    fn values_are_read_with_the_pattern_that_was_found() {
        let table = table(&["- /{a}/b/c", "- /{b}/{a}/{*rest}"]);
        let path = "/one/two/three/four";
        let Lookup::Found { route, params } = table.find("", path, &Method::GET) else {
            panic!("not found");
        };
        let pattern = table.pattern(route).unwrap();
        let values: Vec<_> = params.iter(pattern, path).collect();
        assert_eq!(values, [("b", "one"), ("a", "two"), ("rest", "three/four")]);
    }
}
