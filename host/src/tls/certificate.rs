//! What a certificate says of itself (RFC 5280).

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Within so long of its end a certificate that is loaded gives a warning.
const SOON: Duration = Duration::from_hours(14 * 24);

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The hosts that it is for, in lower case: "a.example" or "*.example". Those of its alternative names, or the common name where it has
    /// none of them.
    pub hosts: Vec<String>,
    /// Whether it has other names than hosts: addresses, say.
    pub has_other_names: bool,
    /// Seconds of Unix time from which on it is valid.
    pub not_before: i64,
    /// Seconds of Unix time at which it ends.
    pub not_after: i64,
}

impl Facts {
    /// Reads them. `None`: this is no certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let alternatives = parsed.subject_alternative_name().ok().flatten();
        let mut hosts = Vec::new();
        let mut has_other_names = false;
        for name in alternatives
            .iter()
            .flat_map(|names| &names.value.general_names)
        {
            match name {
                GeneralName::DNSName(host) => hosts.push(host.to_ascii_lowercase()),
                _ => has_other_names = true,
            }
        }
        if alternatives.is_none() {
            let common = parsed.subject().iter_common_name();
            let common = common.filter_map(|name| name.as_str().ok());
            hosts.extend(common.map(str::to_ascii_lowercase));
        }
        Some(Self {
            hosts,
            has_other_names,
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    /// Whether it is valid at a time.
    pub fn validity(&self, now: SystemTime) -> Validity {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        if now < self.not_before {
            return Validity::NotYet(date(self.not_before));
        }
        let left = self.not_after.saturating_sub(now);
        let Ok(left) = u64::try_from(left) else {
            return Validity::Expired(date(self.not_after));
        };
        if left <= SOON.as_secs() {
            return Validity::EndsSoon {
                end: date(self.not_after),
                days: left / (24 * 60 * 60),
            };
        }
        Validity::Good
    }
}

/// See [`Facts::validity`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validity {
    /// It is, and for a while.
    Good,
    /// It is, until this day.
    EndsSoon {
        /// When.
        end: String,
        /// Whole days until then.
        days: u64,
    },
    /// It was, until this day.
    Expired(String),
    /// It will be, from this day on.
    NotYet(String),
}

/// Stands for the subject of a certificate that has none (those whose names are alternative ones only, say). No subject reads so: each has a "=" in it.
pub const NO_SUBJECT: &str = "(no subject)";

/// A certificate's subject as RFC 4514 writes it: the most specific part first, `CN=alice,O=Example`. What could be taken for something else
/// in a line of text is escaped. [`NO_SUBJECT`]: it has none that can be read.
pub fn subject(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return NO_SUBJECT.to_owned();
    };
    let registry = x509_parser::objects::oid_registry();
    let mut sets = Vec::new();
    for set in parsed.subject().iter_rdn() {
        let mut parts = Vec::new();
        for attribute in set.iter() {
            let oid = attribute.attr_type();
            let name = x509_parser::objects::oid2abbrev(oid, registry)
                .map_or_else(|_| oid.to_id_string(), str::to_owned);
            let mut value = String::new();
            // Section 2.4: a value that is no text, as the hexadecimal digits of its encoding.
            if let Ok(text) = attribute.as_str() {
                push_escaped(&mut value, text);
            } else {
                value.push('#');
                for byte in attribute.as_slice() {
                    let _ = write!(value, "{byte:02x}");
                }
            }
            parts.push(format!("{name}={value}"));
        }
        sets.push(parts.join("+"));
    }
    sets.reverse();
    if sets.is_empty() {
        return NO_SUBJECT.to_owned();
    }
    sets.join(",")
}

/// RFC 4514, section 2.4; control characters and what is not ASCII as hexadecimal pairs too, so that the text fits a header field.
fn push_escaped(out: &mut String, text: &str) {
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'#' | b' ' if at == 0 => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' ' if at == last => out.push_str("\\ "),
            0x20..=0x7e => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
}

/// "2026-11-26 14:12:56 UTC"
fn date(timestamp: i64) -> String {
    match u64::try_from(timestamp) {
        Ok(seconds) => {
            let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            let text = time.map(|time| humantime::format_rfc3339_seconds(time).to_string());
            text.unwrap_or_default()
                .replace('T', " ")
                .replace('Z', " UTC")
        }
        Err(_) => "before 1970".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, SanType};

    use super::super::testing::Pair;
    use super::*;

    fn at(seconds: i64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
    }

    #[test]
    fn hosts_are_the_alternative_names_or_else_the_common_one() {
        let named = |hosts: &[&str], common: Option<&str>, address: bool| {
            let pair = Pair::with(hosts, |params| {
                params.distinguished_name.remove(DnType::CommonName);
                if let Some(common) = common {
                    params.distinguished_name.push(DnType::CommonName, common);
                }
                if address {
                    let address = "127.0.0.1".parse().unwrap();
                    params.subject_alt_names.push(SanType::IpAddress(address));
                }
            });
            let facts = Facts::of(&pair.der()).unwrap();
            (facts.hosts.join(" "), facts.has_other_names)
        };
        assert_eq!(
            named(&["A.example", "*.example"], Some("c"), false),
            ("a.example *.example".to_owned(), false)
        );
        assert_eq!(
            named(&[], Some("C.example"), false),
            ("c.example".to_owned(), false)
        );
        assert_eq!(named(&[], Some("C.example"), true), (String::new(), true));
        assert_eq!(named(&[], None, false), (String::new(), false));
        assert_eq!(Facts::of(&CertificateDer::from(vec![1, 2, 3])), None);
    }

    #[test]
    fn the_validity_at_a_time() {
        const DAY: i64 = 24 * 60 * 60;
        let pair = Pair::with(&["a"], |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        });
        let facts = Facts::of(&pair.der()).unwrap();
        let (begin, end) = (1_577_836_800, 1_609_459_200);
        assert_eq!((facts.not_before, facts.not_after), (begin, end));
        let started = "2020-01-01 00:00:00 UTC".to_owned();
        assert_eq!(facts.validity(at(begin - 1)), Validity::NotYet(started));
        assert_eq!(facts.validity(at(begin)), Validity::Good);
        assert_eq!(facts.validity(at(end - 14 * DAY - 1)), Validity::Good);
        let soon = |days| Validity::EndsSoon {
            end: "2021-01-01 00:00:00 UTC".to_owned(),
            days,
        };
        assert_eq!(facts.validity(at(end - 14 * DAY)), soon(14));
        assert_eq!(facts.validity(at(end)), soon(0));
        let ended = "2021-01-01 00:00:00 UTC".to_owned();
        assert_eq!(facts.validity(at(end + 1)), Validity::Expired(ended));
    }

    #[test]
    fn a_subject_is_one_line_that_nothing_can_be_smuggled_into() {
        let pair = Pair::with(&["a"], |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params
                .distinguished_name
                .push(DnType::OrganizationName, "Ex, Inc.=1\r\nx: y");
            params
                .distinguished_name
                .push(DnType::CommonName, " älice ");
        });
        assert_eq!(
            subject(&pair.der()),
            "CN=\\ \\C3\\A4lice\\ ,O=Ex\\, Inc.\\=1\\0D\\0Ax: y"
        );
        let nobody = Pair::with(&["a"], |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
        });
        assert_eq!(subject(&nobody.der()), "(no subject)");
        assert_eq!(subject(&CertificateDer::from(vec![1])), "(no subject)");
    }
}
