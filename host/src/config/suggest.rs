//! "Did you mean ...?": the nearest of the names that would have been right.

/// Longer names than this are not compared: the table of the distance grows with both lengths.
const LONGEST: usize = 64;

/// The candidate that a typing mistake or two away from `found` would be, if there is one.
pub(super) fn nearest<'c>(
    found: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let length = found.chars().count();
    if length > LONGEST {
        return None;
    }
    // A third of the letters may differ: "usres" finds "users", "ports" does not find "hosts" by luck of length.
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count() <= LONGEST)
        .map(|candidate| {
            (
                distance(&found.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            *distance <= allowed && *distance < candidate.chars().count()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Damerau–Levenshtein distance in its "optimal string alignment" form: insertions, deletions,
/// substitutions and swaps of neighbours each cost one, and no piece is edited twice.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let cost = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX);

    let mut row_before_last: Vec<usize> = Vec::new();
    let mut last_row: Vec<usize> = (0..=right.len()).collect();
    let mut last_left = None;
    for (row_number, left_char) in left.chars().enumerate() {
        let mut row = vec![row_number + 1];
        let mut last_right = None;
        for (column, &right_char) in right.iter().enumerate() {
            let substituted = cost(&last_row, column) + usize::from(left_char != right_char);
            let deleted = cost(&last_row, column + 1) + 1;
            let inserted = cost(&row, column) + 1;
            let mut best = substituted.min(deleted).min(inserted);
            if last_left == Some(right_char)
                && last_right == Some(left_char)
                && let Some(before) = column.checked_sub(1)
            {
                best = best.min(cost(&row_before_last, before) + 1);
            }
            row.push(best);
            last_right = Some(right_char);
        }
        row_before_last = std::mem::replace(&mut last_row, row);
        last_left = Some(left_char);
    }
    cost(&last_row, right.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits_and_swaps() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("users", "users", 0),
            ("usres", "users", 1),
            ("kitten", "sitting", 3),
            ("ca", "abc", 3),
            ("über", "uber", 1),
        ] {
            assert_eq!(distance(left, right), expected, "{left} and {right}");
            assert_eq!(distance(right, left), expected, "{right} and {left}");
        }
    }

    #[test]
    fn the_nearest_name_wins_and_far_ones_are_no_suggestion() {
        assert_eq!(nearest("usres", ["orders", "users"]), Some("users"));
        assert_eq!(nearest("Upstream", ["upstream", "name"]), Some("upstream"));
        assert_eq!(
            nearest("preserve-host", ["preserve_host", "path"]),
            Some("preserve_host")
        );
        assert_eq!(nearest("billing", ["orders", "users"]), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest(&"a".repeat(1000), ["a"]), None);
    }
}
