//! Writes JSON into a buffer that is kept: no tree, no allocation but the buffer's growth.

use crate::event::{Fact, Texts, Timestamp};
use crate::record::escape::{self, Style, hex};

/// Writes the members of one object, or the elements of one array. An object or array that stays empty leaves no
/// trace, not even its name: a field that is not there was not collected.
pub(super) struct Json<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Json<'a> {
    /// Writes `{`, what `fill` writes, and `}`.
    pub(super) fn document(out: &'a mut Vec<u8>, fill: impl FnOnce(&mut Json<'_>)) {
        out.push(b'{');
        fill(&mut Json { out });
        out.push(b'}');
    }

    /// Writes members without braces around them.
    pub(super) fn members(out: &'a mut Vec<u8>, fill: impl FnOnce(&mut Json<'_>)) {
        fill(&mut Json { out });
    }

    /// A text, unless it is empty.
    pub(super) fn some_text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.text(name, text);
        }
    }

    /// An object.
    pub(super) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.enclosed(name, b'{', b'}', fill);
    }

    /// An array; `fill` uses the methods for elements.
    pub(super) fn array(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.enclosed(name, b'[', b']', fill);
    }

    /// An object that is written even where it stays empty: it was looked at.
    pub(super) fn full_object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.key(name);
        self.out.push(b'{');
        fill(self);
        self.out.push(b'}');
    }

    /// An array that is written even where it stays empty: it was looked at.
    pub(super) fn full_array(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.key(name);
        self.out.push(b'[');
        fill(self);
        self.out.push(b']');
    }

    /// An object as an array's element.
    pub(super) fn element(&mut self, fill: impl FnOnce(&mut Self)) {
        let before = self.out.len();
        self.comma();
        self.body(before, b'{', b'}', fill);
    }

    /// Members that were written before, such as those of the host.
    pub(super) fn ready(&mut self, members: &[u8]) {
        if !members.is_empty() {
            self.comma();
            self.out.extend_from_slice(members);
        }
    }

    /// Our own or the operator's text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.key(name);
        self.quoted(&[text.as_bytes()], Style::Text);
    }

    /// Bytes: a path, a name, an argument.
    pub(super) fn value(&mut self, name: &str, bytes: &[u8]) {
        self.key(name);
        self.quoted(&[bytes], Style::Value);
    }

    /// A string that `fill` appends; what it appends must be escaped.
    pub(super) fn filled(&mut self, name: &str, fill: impl FnOnce(&mut Vec<u8>)) {
        self.key(name);
        self.out.push(b'"');
        fill(self.out);
        self.out.push(b'"');
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.key(name);
        push_number(self.out, number);
    }

    /// A number that ECS wants as a keyword.
    pub(super) fn id(&mut self, name: &str, number: u64) {
        self.key(name);
        self.out.push(b'"');
        push_number(self.out, number);
        self.out.push(b'"');
    }

    /// True or false.
    pub(super) fn flag(&mut self, name: &str, value: bool) {
        self.key(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A moment.
    pub(super) fn time(&mut self, name: &str, at: Timestamp) {
        self.date(name, i128::from(at.0));
    }

    /// A moment, nanoseconds since the epoch or before it.
    pub(super) fn date(&mut self, name: &str, nanoseconds: i128) {
        self.key(name);
        self.out.push(b'"');
        push_date(self.out, nanoseconds);
        self.out.push(b'"');
    }

    /// A list of our own texts.
    pub(super) fn texts(&mut self, name: &str, texts: &[&str]) {
        self.array(name, |json| texts.iter().for_each(|text| json.text_element(text)));
    }

    /// Our own or the operator's text as an element.
    pub(super) fn text_element(&mut self, text: &str) {
        self.parts_element(&[text.as_bytes()], Style::Text);
    }

    /// Bytes as an element.
    pub(super) fn value_element(&mut self, bytes: &[u8]) {
        self.parts_element(&[bytes], Style::Value);
    }

    /// The parts as one string, as an element.
    pub(super) fn parts_element(&mut self, parts: &[&[u8]], style: Style) {
        self.comma();
        self.quoted(parts, style);
    }

    /// The parts as one string.
    pub(super) fn parts(&mut self, name: &str, parts: &[&[u8]], style: Style) {
        self.key(name);
        self.quoted(parts, style);
    }

    /// Bytes, where they are known.
    pub(super) fn known_value(&mut self, name: &str, fact: &Fact<Vec<u8>>) {
        if let Fact::Known(bytes) = fact {
            self.value(name, bytes);
        }
    }

    /// True or false, where it is known.
    pub(super) fn known_flag(&mut self, name: &str, fact: &Fact<bool>) {
        if let Fact::Known(value) = fact {
            self.flag(name, *value);
        }
    }

    /// A list of byte strings, written even where it is empty.
    pub(super) fn values(&mut self, name: &str, texts: &Texts) {
        self.full_array(name, |json| texts.iter().for_each(|text| json.value_element(text)));
    }

    /// A string of hexadecimal digits.
    pub(super) fn hexadecimal(&mut self, name: &str, bytes: &[u8]) {
        self.key(name);
        self.digits(bytes);
    }

    /// A string of hexadecimal digits as an element.
    pub(super) fn hexadecimal_element(&mut self, bytes: &[u8]) {
        self.comma();
        self.digits(bytes);
    }

    fn digits(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        for byte in bytes {
            self.out.push(hex(byte >> 4));
            self.out.push(hex(*byte));
        }
        self.out.push(b'"');
    }

    fn key(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A comma, unless this is the first one: what comes before is then the opening bracket, and a string before it
    /// would end in a quotation mark.
    fn comma(&mut self) {
        if !matches!(self.out.last(), Some(b'{' | b'[') | None) {
            self.out.push(b',');
        }
    }

    fn quoted(&mut self, parts: &[&[u8]], style: Style) {
        self.out.push(b'"');
        for part in parts {
            escape::push(self.out, part, style);
        }
        self.out.push(b'"');
    }

    fn enclosed(&mut self, name: &str, open: u8, close: u8, fill: impl FnOnce(&mut Self)) {
        let before = self.out.len();
        self.key(name);
        self.body(before, open, close, fill);
    }

    fn body(&mut self, before: usize, open: u8, close: u8, fill: impl FnOnce(&mut Self)) {
        self.out.push(open);
        let start = self.out.len();
        fill(self);
        if self.out.len() == start {
            self.out.truncate(before);
        } else {
            self.out.push(close);
        }
    }
}

/// Appends a decimal number.
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    push_padded(out, number, 1);
}

/// Appends a decimal number of at least `width` digits.
fn push_padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut rest = number;
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        used += 1;
        if rest == 0 && used >= width {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len().saturating_sub(used)..).unwrap_or_default());
}

/// Appends a moment as RFC 3339 in UTC with nine digits of a second.
pub(super) fn push_date(out: &mut Vec<u8>, nanoseconds: i128) {
    let (seconds, fraction) = match i64::try_from(nanoseconds) {
        // All but the far future; a division of 128 bits takes longer than all the rest.
        Ok(short) => (short.div_euclid(1_000_000_000), short.rem_euclid(1_000_000_000)),
        Err(_) => (
            i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or_default(),
            i64::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or_default(),
        ),
    };
    let fraction = u64::try_from(fraction).unwrap_or_default();
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = u64::try_from(seconds.rem_euclid(86_400)).unwrap_or_default();
    for (number, width, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (second / 3600, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, b'.'),
        (fraction, 9, b'Z'),
    ] {
        push_padded(out, number, width);
        out.push(after);
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years are counted from March, so
/// that the leap day is the last of the year and months have a regular pattern: 153 days in five months.
fn civil(day: i64) -> (u64, u64, u64) {
    const FROM_YEAR_0: i64 = 719_468;
    const PER_400_YEARS: i64 = 146_097;
    let day = day.saturating_add(FROM_YEAR_0);
    let era = day.div_euclid(PER_400_YEARS);
    let of_era = day.rem_euclid(PER_400_YEARS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let natural = |number: i64| u64::try_from(number).unwrap_or_default();
    (natural(year), natural(month), natural(of_month))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(seconds: i128) -> String {
        let mut out = Vec::new();
        push_date(&mut out, seconds * 1_000_000_000 + 7);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn dates_are_right_on_leap_days_and_before_the_epoch() {
        // Each compared with `date -u -d @SECONDS`.
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000007Z"),
            (-1, "1969-12-31T23:59:59.000000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000000007Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000000007Z"),
            (1_768_472_551, "2026-01-15T10:22:31.000000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000007Z"),
            (-2_208_988_800, "1900-01-01T00:00:00.000000007Z"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn numbers_of_every_length_are_written_whole() {
        for number in [0, 9, 10, 99, 100, 4_294_967_295, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(String::from_utf8(out).expect("ASCII"), number.to_string());
        }
    }

    #[test]
    fn what_stays_empty_leaves_no_trace() {
        let mut out = Vec::new();
        Json::document(&mut out, |json| {
            json.object("a", |json| json.object("b", |_| {}));
            json.number("c", 1);
            json.array("d", |json| json.element(|_| {}));
            json.values("e", &Texts::new());
        });
        assert_eq!(out, br#"{"c":1,"e":[]}"#);
    }
}
