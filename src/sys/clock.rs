//! The kernel's clocks as nanoseconds.

use nix::time::{ClockId, clock_gettime};

/// CLOCK_REALTIME: nanoseconds since the epoch.
#[must_use]
pub fn realtime() -> u64 {
    nanoseconds(ClockId::CLOCK_REALTIME)
}

/// CLOCK_BOOTTIME: nanoseconds since boot, suspended time included. Never 0, so that 0 can mean "no time".
#[must_use]
pub fn boottime() -> u64 {
    nanoseconds(ClockId::CLOCK_BOOTTIME).max(1)
}

/// Both clocks exist on every kernel that this program runs on (clock_gettime(2)); a clock before the epoch reads 0.
fn nanoseconds(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else { return 0 };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}
