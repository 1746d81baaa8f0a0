//! The criterion `methods`.

use http::Method;

/// How a route's methods fit a request's; the better fit is the lesser.
///
/// A route that lists GET also takes HEAD, since every resource that answers GET answers HEAD
/// (RFC 9110, section 9.3.2). OPTIONS is a method like any other: who wants the upstream to answer
/// it lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MethodFit {
    /// The route lists the method.
    Listed,
    /// The method is HEAD, and the route lists GET.
    HeadByGet,
    /// The route lists no method: it takes them all.
    Any,
}

/// How these methods of a route fit; `None`: not at all.
pub(super) fn fit(listed: &[Method], method: &Method) -> Option<MethodFit> {
    if listed.is_empty() {
        Some(MethodFit::Any)
    } else if listed.contains(method) {
        Some(MethodFit::Listed)
    } else if method == Method::HEAD && listed.contains(&Method::GET) {
        Some(MethodFit::HeadByGet)
    } else {
        None
    }
}

/// What the `Allow` of a 405 lists for these methods: each once, in alphabetical order.
pub(super) fn allow(mut listed: Vec<Method>) -> Vec<Method> {
    if listed.contains(&Method::GET) {
        listed.push(Method::HEAD);
    }
    listed.sort_by(|one, two| one.as_str().cmp(two.as_str()));
    listed.dedup();
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_is_better_than_implied_is_better_than_all() {
        assert_eq!(
            fit(&[Method::GET, Method::HEAD], &Method::HEAD),
            Some(MethodFit::Listed)
        );
        assert_eq!(
            fit(&[Method::GET], &Method::HEAD),
            Some(MethodFit::HeadByGet)
        );
        assert_eq!(fit(&[], &Method::HEAD), Some(MethodFit::Any));
        assert!(MethodFit::Listed < MethodFit::HeadByGet);
        assert!(MethodFit::HeadByGet < MethodFit::Any);
    }

    #[test]
    fn what_is_not_listed_does_not_fit() {
        assert_eq!(fit(&[Method::GET], &Method::POST), None);
        assert_eq!(fit(&[Method::GET], &Method::OPTIONS), None);
        assert_eq!(fit(&[Method::HEAD], &Method::GET), None);
        assert_eq!(fit(&[Method::POST], &Method::HEAD), None);
    }

    #[test]
    fn methods_that_nobody_has_heard_of_fit() {
        let brew = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(
            fit(std::slice::from_ref(&brew), &brew),
            Some(MethodFit::Listed)
        );
        assert_eq!(fit(&[], &brew), Some(MethodFit::Any));
    }

    #[test]
    fn allow_is_sorted_has_no_duplicates_and_names_head() {
        let listed = vec![Method::PUT, Method::GET, Method::PUT, Method::DELETE];
        assert_eq!(
            allow(listed),
            [Method::DELETE, Method::GET, Method::HEAD, Method::PUT]
        );
        assert_eq!(allow(vec![Method::POST]), [Method::POST]);
    }
}
