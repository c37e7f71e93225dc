//! What is made of many times: quantiles, medians of rounds, and how far a ratio can be trusted.

/// The value below which this part of the sorted values lies; 0 of none.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the slice")]
    let index = (part * last as f64).round() as usize;
    sorted[index]
}

/// The median; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    quantile(&sorted(values), 0.5)
}

pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// A ratio and the interval in which it lies with 95 % (resampling the rounds).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Ratio {
    /// The median of the rounds' ratios. Rounds without a denominator are passed over.
    pub fn of_rounds(above: &[f64], below: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = above
            .iter()
            .zip(below)
            .filter(|(_, below)| **below > 0.0)
            .map(|(above, below)| above / below)
            .collect();
        if ratios.is_empty() {
            return None;
        }
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| median(&ratios.iter().map(|_| ratios[random.below(ratios.len())]).collect::<Vec<_>>()))
            .collect();
        let medians = sorted(&medians);
        Some(Self { value: median(&ratios), low: quantile(&medians, 0.025), high: quantile(&medians, 0.975) })
    }

    /// How far the ratio is from 1, in either direction.
    pub fn claim(self) -> f64 {
        self.value.max(f64::MIN_POSITIVE).ln().abs()
    }
}

/// xorshift64: resampling needs no more, and the same numbers give the same interval.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

const RESAMPLES: usize = 400;
