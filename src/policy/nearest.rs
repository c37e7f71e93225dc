//! The nearest valid name to one that is not valid.

/// The name of `names` that is nearest to `given`, where it is near enough to be meant.
pub(crate) fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    within(given, names, (given.chars().count() / 3).clamp(1, 6))
}

/// The name of `names` that is nearest to `given`, at most `allowed` edits away.
pub(crate) fn within<'a>(
    given: &str,
    names: impl IntoIterator<Item = &'a str>,
    allowed: usize,
) -> Option<&'a str> {
    // Far longer names are never near, and the table below is quadratic.
    if given.len() > 128 {
        return None;
    }
    names
        .into_iter()
        .map(|name| (distance(&given.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `did you mean ...?` for the nearest name.
pub(crate) fn did_you_mean<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(given, names).map(|name| format!("did you mean `{name}`?"))
}

/// Edits (insert, delete, replace, swap of neighbours) from one to the other.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (at(&last, j) + usize::from(a != b)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && from.get(i - 1) == Some(b) && to.get(j - 1) == Some(a);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["user.id", "user.name", "process.executable"];
        assert_eq!(nearest("user.di", names), Some("user.id"));
        assert_eq!(nearest("proces.executeable", names), Some("process.executable"));
        assert_eq!(nearest("dns.question.name", names), None);
        assert_eq!(nearest("", names), None);
    }
}
