//! What the guard counts, as atomics: written on the way of an answer, read by `status`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::event::Failure;

/// The counters of one run of the guard.
#[derive(Debug, Default)]
pub struct Counters {
    /// Attempts in the watched directories that were judged.
    pub attempts: AtomicU64,
    /// Answered allow.
    pub allowed: AtomicU64,
    /// Answered deny.
    pub denied: AtomicU64,
    /// Answered allow although the policy says deny (audit mode, or a rule on trial).
    pub would_deny: AtomicU64,
    /// Allowed by an allow rule.
    pub excepted: AtomicU64,
    /// No rule matched.
    pub no_match: AtomicU64,
    /// Decided by `on_unknown`.
    pub unknown: AtomicU64,
    /// Attempts elsewhere on a shared filesystem that is marked whole: allowed at once, unrecorded.
    pub outside: AtomicU64,
    /// Groups taken over from a guard that died.
    pub take_overs: AtomicU64,
    /// How often a second reader had to read, because the first one was held up.
    pub reliefs: AtomicU64,
    /// Attempts that wait for full evidence.
    pub evidence_queued: AtomicU64,
    /// Attempts with full evidence.
    pub evidence_full: AtomicU64,
    /// Attempts whose full evidence was left out: the evidence thread had too much to do.
    pub evidence_cut: AtomicU64,
    /// Execs that the kernel told of after the fact.
    pub execs: AtomicU64,
    /// Of these, those whose process had ended before anybody could look.
    pub execs_gone: AtomicU64,
    /// Programs that ran unseen.
    pub unseen: AtomicU64,
    /// Opens that were looked at: for loads and interpreters.
    pub opens: AtomicU64,
    /// Opens that were let through although nobody had found out what they were for.
    pub opens_unknown: AtomicU64,
    failures: [AtomicU64; Failure::ALL.len()],
    latency: Histogram,
}

/// Times in powers of two of a microsecond.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    longest: AtomicU64,
}

const BUCKETS: usize = 32;

impl Counters {
    /// Adds one failure.
    pub fn fail(&self, failure: Failure) {
        self.fail_times(failure, 1);
    }

    /// Adds failures of one kind.
    pub fn fail_times(&self, failure: Failure, times: u64) {
        let mut pairs = Failure::ALL.iter().zip(&self.failures);
        if let Some((_, counter)) = pairs.find(|(kind, _)| **kind == failure) {
            counter.fetch_add(times, Ordering::Relaxed);
        }
    }

    /// How often each failure happened.
    pub fn failures(&self) -> impl Iterator<Item = (Failure, u64)> + '_ {
        Failure::ALL
            .iter()
            .zip(&self.failures)
            .map(|(kind, counter)| (*kind, counter.load(Ordering::Relaxed)))
    }

    /// Notes how long a caller waited: from our read of its event to our answer.
    pub fn answered_after(&self, wait: Duration) {
        self.latency.add(wait);
    }

    /// The waits of callers.
    #[must_use]
    pub fn latency(&self) -> &Histogram {
        &self.latency
    }
}

impl Histogram {
    fn add(&self, time: Duration) {
        let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket =
            usize::try_from(u64::BITS - microseconds.leading_zeros()).unwrap_or(BUCKETS).min(BUCKETS - 1);
        if let Some(counter) = self.buckets.get(bucket) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.longest.fetch_max(microseconds, Ordering::Relaxed);
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    /// The longest, in microseconds.
    #[must_use]
    pub fn longest(&self) -> u64 {
        self.longest.load(Ordering::Relaxed)
    }

    /// An upper bound in microseconds below which this many of a thousand lie; 0 where nothing was counted.
    #[must_use]
    pub fn per_mille(&self, part: u64) -> u64 {
        let counts: Vec<u64> = self.buckets.iter().map(|counter| counter.load(Ordering::Relaxed)).collect();
        let wanted = counts.iter().sum::<u64>().saturating_mul(part).div_ceil(1000);
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += count;
            seen >= wanted && wanted > 0
        });
        bucket.map_or(0, |bucket| (1_u64 << bucket).min(self.longest()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_bounds_its_quantiles_from_above() {
        let histogram = Histogram::default();
        for microseconds in [3, 3, 3, 900] {
            histogram.add(Duration::from_micros(microseconds));
        }
        assert_eq!(histogram.per_mille(500), 4);
        assert_eq!(histogram.per_mille(990), 900);
        assert_eq!(histogram.longest(), 900);
    }

    #[test]
    fn nothing_counted_is_zero_and_a_year_is_no_panic() {
        let histogram = Histogram::default();
        assert_eq!(histogram.per_mille(990), 0);
        histogram.add(Duration::from_secs(31_536_000));
        assert_eq!(histogram.longest(), 31_536_000_000_000);
    }

    #[test]
    fn failures_are_counted_by_kind() {
        let counters = Counters::default();
        counters.fail(Failure::NotRecorded);
        counters.fail_times(Failure::TakenOver, 3);
        let seen: Vec<_> = counters.failures().filter(|(_, count)| *count > 0).collect();
        assert_eq!(seen, [(Failure::NotRecorded, 1), (Failure::TakenOver, 3)]);
    }
}
