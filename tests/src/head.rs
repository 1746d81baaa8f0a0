//! A message's head as it was on the wire.

/// The head of a request or of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Every byte of it, with the empty line at its end.
    pub raw: Vec<u8>,
    /// Request line or status line.
    pub start_line: String,
    /// Names and values in the order in which they came, without white space around the values.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// Takes a head apart. Bytes that are not UTF-8 are replaced in everything but `raw`.
    pub fn parse(raw: &[u8]) -> Self {
        let text = String::from_utf8_lossy(raw);
        let mut lines = text.split("\r\n");
        let start_line = lines.next().unwrap_or_default().to_owned();
        Self {
            raw: raw.to_vec(),
            start_line,
            fields: lines.filter(|line| !line.is_empty()).map(field).collect(),
        }
    }

    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// All values of a field.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// A response's status.
    pub fn status(&self) -> u16 {
        let status = self.word(1).parse().ok();
        status.unwrap_or_else(|| panic!("no status line: {:?}", self.start_line))
    }

    /// A request's method.
    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// A request's target.
    pub fn target(&self) -> &str {
        self.word(1)
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.headers("transfer-encoding")
            .iter()
            .any(|value| value.eq_ignore_ascii_case("chunked"))
    }

    pub(crate) fn length(&self) -> Option<usize> {
        self.header("content-length")
            .map(|value| value.parse().expect("a Content-Length of digits"))
    }

    fn word(&self, index: usize) -> &str {
        self.start_line.split(' ').nth(index).unwrap_or_default()
    }
}

/// A header line or a trailer line.
pub(crate) fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim().to_owned())
}

/// Where `mark` begins.
pub(crate) fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}
