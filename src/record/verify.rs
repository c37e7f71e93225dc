//! Proves that a log is whole: in each boot every sequence number once, in order and without a gap. Pure; lines come in,
//! from the oldest generation to the current file.
//!
//! What it cannot prove: that the oldest records were rotated away and not removed by somebody, and that none was removed
//! at the very end before the guard wrote its next one.

use super::read::Head;
use std::fmt;

/// The proof in the making.
#[derive(Debug, Default)]
pub struct Verifier {
    boots: Vec<Span>,
    records: u64,
    findings: Vec<Finding>,
    more: u64,
}

/// What the log is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many records and notices there are.
    pub records: u64,
    /// The boots in order.
    pub boots: Vec<Span>,
    /// What is wrong, in order; at most 1,000.
    pub findings: Vec<Finding>,
    /// How many more findings there are.
    pub more: u64,
}

/// The records of one boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// `host.boot.id`.
    pub boot: String,
    /// The first number; greater than 1 in the oldest boot where older generations are gone.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

/// A place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// From 1.
    pub line: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Records are missing.
    Gap {
        /// The boot.
        boot: String,
        /// The first number missing.
        first: u64,
        /// The last number missing.
        last: u64,
        /// A later notice says that these could not be written.
        told: bool,
        /// Where the records go on.
        at: Place,
    },
    /// A number that is not greater than the one before.
    Repeated {
        /// The boot.
        boot: String,
        /// The number.
        sequence: u64,
        /// Where.
        at: Place,
    },
    /// Records of a boot that had ended.
    Interleaved {
        /// The boot.
        boot: String,
        /// Where.
        at: Place,
    },
    /// A line that is no record.
    NotARecord(Place),
    /// A line without its end, as a crash leaves it.
    Unfinished(Place),
}

impl Verifier {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next line, with its newline where it has one. Takes an owned place only where something is wrong.
    pub fn line(&mut self, file: &str, number: u64, line: &[u8]) {
        let at = || Place { file: file.to_owned(), line: number };
        let Some(body) = line.strip_suffix(b"\n") else {
            return self.find(Finding::Unfinished(at()));
        };
        let Some(head) = Head::parse(body) else {
            return self.find(Finding::NotARecord(at()));
        };
        self.records = self.records.saturating_add(1);
        if let Some((first, last)) = head.missing {
            self.explain(&head.boot, first, last);
        }
        let is_oldest = self.boots.is_empty();
        let known = self.boots.iter().rposition(|span| span.boot == head.boot);
        let is_current = known.is_some_and(|index| index + 1 == self.boots.len());
        match self.boots.last_mut().filter(|_| is_current) {
            Some(span) => {
                let expected = span.last.saturating_add(1);
                if head.sequence < expected {
                    self.find(Finding::Repeated { boot: head.boot, sequence: head.sequence, at: at() });
                } else {
                    span.last = head.sequence;
                    self.gap(head, expected, at);
                }
            }
            None if known.is_some() => self.find(Finding::Interleaved { boot: head.boot, at: at() }),
            None => {
                let (boot, sequence) = (head.boot.clone(), head.sequence);
                self.boots.push(Span { boot, first: sequence, last: sequence });
                if !is_oldest {
                    self.gap(head, 1, at);
                }
            }
        }
    }

    /// The verdict on everything that was taken.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        Verdict { records: self.records, boots: self.boots, findings: self.findings, more: self.more }
    }

    fn gap(&mut self, head: Head, expected: u64, at: impl Fn() -> Place) {
        if head.sequence > expected {
            let last = head.sequence.saturating_sub(1);
            self.find(Finding::Gap { boot: head.boot, first: expected, last, told: false, at: at() });
        }
    }

    /// A notice says why numbers are missing.
    fn explain(&mut self, named: &str, from: u64, to: u64) {
        for finding in self.findings.iter_mut().rev() {
            if let Finding::Gap { boot, first, last, told, .. } = finding
                && boot == named
                && *first >= from
                && *last <= to
            {
                *told = true;
            }
        }
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < MOST {
            self.findings.push(finding);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

impl Verdict {
    /// Nothing is missing but what the log itself tells of.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.more == 0
            && self.findings.iter().all(|finding| matches!(finding, Finding::Gap { told: true, .. }))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { boot, first, last, told, at } => {
                let told = if *told { " (the log tells that they could not be written)" } else { "" };
                write!(f, "{at}: records {first} to {last} of boot {boot} are missing{told}")
            }
            Self::Repeated { boot, sequence, at } => {
                write!(f, "{at}: record {sequence} of boot {boot} comes after a later one or twice")
            }
            Self::Interleaved { boot, at } => write!(f, "{at}: boot {boot} had ended before"),
            Self::NotARecord(at) => write!(f, "{at}: not a record"),
            Self::Unfinished(at) => write!(f, "{at}: a record without its end"),
        }
    }
}

/// A log of another kind would give one finding a line.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::format::{self, HostFacts, Notice};
    use crate::record::{Host, samples};

    fn verified(lines: &[(&str, u64)]) -> Verdict {
        let mut verifier = Verifier::new();
        for (number, (boot, sequence)) in (1..).zip(lines) {
            let host = Host::new(HostFacts { boot_id: (*boot).to_owned(), ..HostFacts::default() });
            let mut line = Vec::new();
            let notice = Notice::Other { action: "x", text: "y", failed: false };
            format::notice(&mut line, *sequence, crate::event::Timestamp(1), &notice, &host);
            verifier.line("f", number, &line);
        }
        verifier.verdict()
    }

    fn at(line: u64) -> Place {
        Place { file: "f".into(), line }
    }

    #[test]
    fn a_whole_log_holds_and_may_begin_late() {
        let verdict = verified(&[("a", 7), ("a", 8), ("b", 1), ("b", 2)]);
        assert!(verdict.holds(), "{verdict:?}");
        assert_eq!(verdict.records, 4);
        assert_eq!(verdict.boots[0], Span { boot: "a".into(), first: 7, last: 8 });
    }

    #[test]
    fn a_removed_line_is_found_wherever_it_was() {
        for (lines, first, last, line) in [
            (vec![("a", 1), ("a", 2), ("a", 4)], 3, 3, 3),
            (vec![("a", 1), ("b", 3)], 1, 2, 2),
            (vec![("a", 1), ("b", 1), ("b", 9)], 2, 8, 3),
        ] {
            let verdict = verified(&lines);
            assert!(!verdict.holds());
            let boot = lines.last().unwrap().0.to_owned();
            assert_eq!(verdict.findings, [Finding::Gap { boot, first, last, told: false, at: at(line) }]);
        }
    }

    #[test]
    fn a_repeated_record_and_one_of_an_ended_boot_are_found() {
        let verdict = verified(&[("a", 1), ("a", 1), ("b", 1), ("a", 2)]);
        assert_eq!(
            verdict.findings,
            [
                Finding::Repeated { boot: "a".into(), sequence: 1, at: at(2) },
                Finding::Interleaved { boot: "a".into(), at: at(4) },
            ]
        );
        assert!(!verdict.holds());
    }

    #[test]
    fn a_gap_that_the_log_tells_of_is_no_breach() {
        let host = samples::host();
        let mut verifier = Verifier::new();
        let told = Notice::SinkBack { sink: "file", lost: 2, missing: Some((2, 3)) };
        let other = Notice::Other { action: "x", text: "y", failed: false };
        for (number, (sequence, notice)) in (1..).zip([(1, &other), (4, &other), (5, &told)]) {
            let mut line = Vec::new();
            format::notice(&mut line, sequence, crate::event::Timestamp(1), notice, &host);
            verifier.line("f", number, &line);
        }
        let verdict = verifier.verdict();
        assert!(verdict.holds(), "{verdict:?}");
        assert!(matches!(verdict.findings.as_slice(), [Finding::Gap { first: 2, last: 3, told: true, .. }]));
    }

    #[test]
    fn what_is_no_record_or_has_no_end_is_found() {
        let mut verifier = Verifier::new();
        verifier.line("f", 1, b"{}\n");
        verifier.line("f", 2, b"\n");
        verifier.line("f", 3, b"{\"event\":{\"sequence\":1}}");
        let verdict = verifier.verdict();
        assert_eq!(
            verdict.findings,
            [Finding::NotARecord(at(1)), Finding::NotARecord(at(2)), Finding::Unfinished(at(3))]
        );
    }
}
