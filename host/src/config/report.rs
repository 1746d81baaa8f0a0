//! Where the readers of the sections report to.

use std::cell::RefCell;

use super::problem::Problem;

/// What was found wrong and odd so far.
#[derive(Debug)]
pub(super) struct Report {
    /// Byte offsets at which lines end.
    line_ends: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl Report {
    pub(super) fn new(text: &str) -> Self {
        let line_ends = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at)
            .collect();
        Self {
            line_ends,
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// The line of a byte offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_ends.partition_point(|end| *end < offset) + 1
    }

    pub(super) fn problem(&self, path: impl Into<String>, line: usize, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            path: path.into(),
            line,
            message: message.into(),
        });
    }

    pub(super) fn warning(&self, path: impl Into<String>, line: usize, message: impl Into<String>) {
        self.warnings.borrow_mut().push(Problem {
            path: path.into(),
            line,
            message: message.into(),
        });
    }

    /// Problems and warnings in the file's order.
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        let mut problems = self.problems.into_inner();
        let mut warnings = self.warnings.into_inner();
        problems.sort_by_key(|problem| problem.line);
        warnings.sort_by_key(|problem| problem.line);
        (problems, warnings)
    }
}
