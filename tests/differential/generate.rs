//! Rules and events at random, small enough that they meet often.

use crate::plain::{Cond, Expr, Lit, Re, Rule};
use std::collections::BTreeMap;

/// Numbers that look random and are the same for the same seed (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % most
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

#[derive(Debug, Default)]
pub(crate) struct Event {
    /// Values by field; a field that is in neither list is missing.
    pub(crate) known: BTreeMap<&'static str, Vec<Vec<u8>>>,
    pub(crate) unknown: Vec<&'static str>,
}

/// Fields that nothing is derived from, so that an event says all there is.
const TEXTS: &[&str] = &[
    "process.executable",
    "process.parent.executable",
    "process.parent.name",
    "process.parent.args",
    "process.working_directory",
    "container.id",
    "shmguard.cgroup",
];
const CLAIMED: &[&str] = &["process.args", "process.env_vars"];
const NUMBERS: &[&str] = &["process.parent.pid", "file.size"];
const BOOLS: &[&str] = &["process.interactive", "shmguard.gains_privilege"];
const LISTS: &[&str] = &["process.executable", "process.parent.args", "process.args", "process.env_vars"];

pub(crate) fn kind(field: &str) -> &'static str {
    if NUMBERS.contains(&field) {
        "number"
    } else if BOOLS.contains(&field) {
        "bool"
    } else {
        "text"
    }
}

/// Texts that share beginnings, ends, cases and odd characters.
const WORDS: &[&str] = &[
    "",
    "a",
    "A",
    "b",
    "ab",
    "aB",
    "AB",
    "ba",
    "aab",
    "abab",
    "a/b",
    "/a",
    "/a/b",
    "/A/b",
    "a.b",
    "a b",
    "\u{e9}",
    "\u{c9}",
    "a\u{e9}",
    "a\nb",
    "a\"b",
    "a\\b",
    "0",
    "12",
    "a\u{1f600}b",
    "k",
    "\u{212a}",
];

const PATTERNS: &[&str] = &[
    "*", "?", "a*", "*a", "*a*", "a?", "?a", "??", "a*b", "A*b", "/a/*", "*/b", "*?", "?*", "*a?b*", "a**b",
    "*b?", "\u{e9}*", "?\u{e9}", "a?b", "*ab*ab*", "*a*b*", "a", "/a/b", "", "*.?", "*\n*", "*a?", "*b??",
];

const BYTES: &[&[u8]] =
    &[b"\xff", b"a\xffb", b"\xc3", b"a\xc3", b"\xe2\x82", b"\xc3\xa9\xc3", b"a\xf0\x9f\x98b", b"\x80a"];

pub(crate) fn event(dice: &mut Dice) -> Event {
    let mut event = Event::default();
    for field in TEXTS.iter().chain(CLAIMED).chain(NUMBERS).chain(BOOLS) {
        match dice.below(10) {
            0 | 1 => {}
            // What cannot be known of paths and arguments has rules of its own, tested elsewhere.
            2 if !CLAIMED.contains(field) && *field != "process.executable" => event.unknown.push(field),
            _ => {
                let many = if LISTS.contains(field) { 1 + dice.below(3) } else { 1 };
                event.known.insert(field, (0..many).map(|_| value(field, dice)).collect());
            }
        }
    }
    event
}

fn value(field: &str, dice: &mut Dice) -> Vec<u8> {
    match kind(field) {
        "number" => dice.pick(&["-1", "0", "1", "2", "12"]).into(),
        "bool" => dice.pick(&["true", "false"]).into(),
        _ if dice.one_in(12) => dice.pick(BYTES).into(),
        _ => dice.pick(WORDS).into(),
    }
}

pub(crate) fn rules(dice: &mut Dice) -> Vec<Rule> {
    // Many rules together are found by an index, a few are not.
    let many = if dice.one_in(25) { 20 + dice.below(60) } else { 1 + dice.below(4) };
    (0..many)
        .map(|number| {
            let deny = !dice.one_in(3);
            Rule { id: format!("r{number}"), deny, trial: dice.one_in(6), when: condition(dice, 3, deny) }
        })
        .collect()
}

fn condition(dice: &mut Dice, depth: usize, deny: bool) -> Cond {
    if depth == 0 {
        return leaf(dice, deny);
    }
    let parts = |dice: &mut Dice| (0..2 + dice.below(2)).map(|_| condition(dice, depth - 1, deny)).collect();
    match dice.below(9) {
        // What most rules look like.
        8 => {
            let operator = dice.pick(&["like", "like~", "in", "in~"]);
            let list = (0..1 + dice.below(2)).map(|_| entry(dice, operator)).collect();
            let field = Expr::Field(dice.pick(&["process.executable", "process.parent.name"]));
            let demand = Cond::Member { left: field, operator, negated: false, list };
            Cond::And(vec![demand, condition(dice, depth - 1, deny)])
        }
        0 | 1 => Cond::And(parts(dice)),
        2 | 3 => Cond::Or(parts(dice)),
        4 => Cond::Not(Box::new(condition(dice, depth - 1, deny))),
        _ => leaf(dice, deny),
    }
}

fn field(dice: &mut Dice, deny: bool) -> &'static str {
    // An allow rule may not ask for what the caller chooses.
    if deny && dice.one_in(5) { dice.pick(CLAIMED) } else { dice.pick(TEXTS) }
}

fn leaf(dice: &mut Dice, deny: bool) -> Cond {
    let orders = &["==", "!=", "<", "<=", ">", ">="];
    match dice.below(16) {
        0 => Cond::Literal(dice.one_in(2)),
        1 => Cond::Bare(Expr::Field(dice.pick(BOOLS))),
        2 => {
            Cond::Compare(Expr::Field(dice.pick(BOOLS)), dice.pick(&["==", "!="]), Lit::Bool(dice.one_in(2)))
        }
        3 => Cond::Compare(Expr::Field(dice.pick(NUMBERS)), dice.pick(orders), number(dice)),
        4 => {
            let list = (0..1 + dice.below(3)).map(|_| number(dice)).collect();
            Cond::Member {
                left: Expr::Field(dice.pick(NUMBERS)),
                operator: "in",
                negated: dice.one_in(3),
                list,
            }
        }
        5 => {
            let fields = [TEXTS, NUMBERS, BOOLS].concat();
            let expr = if dice.one_in(5) { Expr::Never } else { Expr::Field(dice.pick(&fields)) };
            Cond::Compare(expr, dice.pick(&["==", "!="]), Lit::Null)
        }
        6 => Cond::Compare(Expr::Never, dice.pick(orders), text(dice)),
        7 | 8 => Cond::Compare(Expr::Field(field(dice, deny)), dice.pick(orders), text(dice)),
        9 => {
            let test = dice.pick(&[
                "startsWith",
                "endsWith",
                "stringContains",
                "startsWith~",
                "endsWith~",
                "stringContains~",
            ]);
            Cond::Bare(Expr::Call(test, vec![made_text(dice, deny), Expr::Lit(text(dice))]))
        }
        10 => Cond::Compare(made_number(dice, deny), dice.pick(orders), number(dice)),
        11 => Cond::Compare(made_text(dice, deny), dice.pick(orders), text(dice)),
        _ => {
            let left = if dice.one_in(6) { made_text(dice, deny) } else { Expr::Field(field(dice, deny)) };
            let operator = dice.pick(&["in", "in~", "like", "like~", ":", "regex", "regex~"]);
            let list = (0..1 + dice.below(3)).map(|_| entry(dice, operator)).collect();
            Cond::Member { left, operator, negated: operator.starts_with("in") && dice.one_in(3), list }
        }
    }
}

fn entry(dice: &mut Dice, operator: &str) -> Lit {
    match operator {
        "regex" | "regex~" => Lit::Regex(regex(dice, 3)),
        "like" | "like~" | ":" => Lit::Text(dice.pick(PATTERNS).into()),
        _ => text(dice),
    }
}

fn made_text(dice: &mut Dice, deny: bool) -> Expr {
    let field = Expr::Field(field(dice, deny));
    let place = |dice: &mut Dice| Expr::Lit(Lit::Number(dice.below(7) as i64 - 3));
    match dice.below(7) {
        0 => Expr::Call("substring", vec![field, place(dice)]),
        1 => Expr::Call("substring", vec![field, place(dice), place(dice)]),
        2 => Expr::Call(
            dice.pick(&["between", "between~"]),
            vec![field, Expr::Lit(text(dice)), Expr::Lit(text(dice))],
        ),
        3 => Expr::Call("concat", vec![field, Expr::Lit(text(dice)), Expr::Field(dice.pick(NUMBERS))]),
        4 => Expr::Call("string", vec![made_number(dice, deny)]),
        5 => Expr::Call("concat", vec![field, Expr::Never]),
        _ => field,
    }
}

fn made_number(dice: &mut Dice, deny: bool) -> Expr {
    let field = Expr::Field(field(dice, deny));
    match dice.below(6) {
        0 => Expr::Call("length", vec![field]),
        1 => Expr::Call(dice.pick(&["indexOf", "indexOf~"]), vec![field, Expr::Lit(text(dice))]),
        2 => {
            let from = Expr::Lit(Lit::Number(dice.below(5) as i64 - 1));
            Expr::Call("indexOf", vec![field, Expr::Lit(text(dice)), from])
        }
        3 => {
            let operation = dice.pick(&["add", "subtract", "multiply", "modulo"]);
            Expr::Call(operation, vec![Expr::Field(dice.pick(NUMBERS)), Expr::Lit(number(dice))])
        }
        4 => Expr::Call("length", vec![Expr::Call("concat", vec![field.clone(), field])]),
        _ => Expr::Field(dice.pick(NUMBERS)),
    }
}

fn text(dice: &mut Dice) -> Lit {
    Lit::Text(dice.pick(WORDS).into())
}

fn number(dice: &mut Dice) -> Lit {
    Lit::Number([-1, 0, 1, 2, 12][dice.below(5)])
}

fn regex(dice: &mut Dice, depth: usize) -> Re {
    let letter = |dice: &mut Dice| ['a', 'b', 'A', '/', '.', '\u{e9}', '"', 'k'][dice.below(8)];
    if depth == 0 {
        return Re::Char(letter(dice));
    }
    let parts = |dice: &mut Dice| (0..1 + dice.below(3)).map(|_| regex(dice, depth - 1)).collect();
    match dice.below(8) {
        0 | 1 => Re::Cat(parts(dice)),
        2 => Re::Alt(parts(dice)),
        3 => {
            let low = dice.below(3);
            let high = if dice.one_in(2) { None } else { Some(low + dice.below(3)) };
            Re::Repeat(Box::new(regex(dice, depth - 1)), low, high)
        }
        4 => Re::Any,
        5 => Re::Class(dice.one_in(3), vec![('a', 'b'), [('A', 'B'), ('0', '9'), ('X', 'c')][dice.below(3)]]),
        _ => Re::Char(letter(dice)),
    }
}

pub(crate) fn policy_text(rules: &[Rule], dice: &mut Dice) -> String {
    let mut out = String::new();
    for rule in rules {
        let effect = if rule.deny { "deny" } else { "allow" };
        let mode = if rule.trial { "mode = \"audit\"\n" } else { "" };
        let when = written(&rule.when, 0, dice);
        let header = if dice.one_in(4) { "process where " } else { "" };
        let when = basic(&format!("{header}{when}"));
        out.push_str(&format!(
            "[[rule]]\nid = \"{}\"\neffect = \"{effect}\"\n{mode}when = {when}\n",
            rule.id
        ));
    }
    out
}

/// A basic string of TOML, so that the way back through its escapes is tried too.
fn basic(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        ' '..='~' => c.to_string(),
        c => format!("\\U{:08x}", u32::from(c)),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// EQL's text, with no more parentheses than needed, or sometimes more. Levels: 0 or, 1 and, 2 not.
fn written(cond: &Cond, level: usize, dice: &mut Dice) -> String {
    let (own, text) = match cond {
        Cond::Or(parts) => (0, joined(parts, " or ", 1, dice)),
        Cond::And(parts) => (1, joined(parts, " and ", 2, dice)),
        Cond::Not(inner) => (2, format!("not {}", written(inner, 2, dice))),
        Cond::Literal(value) => (3, value.to_string()),
        Cond::Bare(expr) => (3, expression(expr, dice)),
        Cond::Compare(expr, operator, lit) => match (dice.one_in(6), flipped(operator)) {
            (true, Some(flipped)) if *lit != Lit::Null => {
                (3, format!("{} {flipped} {}", literal(lit), expression(expr, dice)))
            }
            _ => (3, format!("{} {operator} {}", expression(expr, dice), literal(lit))),
        },
        Cond::Member { left, operator, negated, list } => {
            let not = if *negated { "not " } else { "" };
            let alone = list.len() == 1 && !operator.starts_with("in") && dice.one_in(2);
            let list = list.iter().map(literal).collect::<Vec<_>>().join(", ");
            let list = if alone { list } else { format!("({list})") };
            (3, format!("{} {not}{operator} {list}", expression(left, dice)))
        }
    };
    let comment = if dice.one_in(20) { "/* ) */ " } else { "" };
    if own < level || dice.one_in(10) { format!("({comment}{text})") } else { format!("{comment}{text}") }
}

fn joined(parts: &[Cond], word: &str, level: usize, dice: &mut Dice) -> String {
    parts.iter().map(|part| written(part, level, dice)).collect::<Vec<_>>().join(word)
}

fn flipped(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "==" => "==",
        "!=" => "!=",
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        _ => return None,
    })
}

fn expression(expr: &Expr, dice: &mut Dice) -> String {
    match expr {
        Expr::Field(name) if dice.one_in(8) => format!("?{name}"),
        Expr::Field(name) => (*name).to_owned(),
        Expr::Never => "?dns.question.name".to_owned(),
        Expr::Lit(lit) => literal(lit),
        Expr::Call(name, arguments) => {
            let arguments: Vec<_> = arguments.iter().map(|argument| expression(argument, dice)).collect();
            let name = if dice.one_in(8) { name.to_lowercase() } else { (*name).to_owned() };
            format!("{name}({})", arguments.join(", "))
        }
    }
}

fn literal(lit: &Lit) -> String {
    match lit {
        Lit::Text(text) => quoted(text),
        Lit::Number(number) => number.to_string(),
        Lit::Bool(value) => value.to_string(),
        Lit::Null => "null".to_owned(),
        Lit::Regex(re) => quoted(&regex_text(re)),
    }
}

fn quoted(text: &str) -> String {
    if text.contains('/') && !text.contains('"') {
        return format!("\"\"\"{text}\"\"\"");
    }
    let escaped =
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\u{e9}', "\\u{00e9}");
    format!("\"{escaped}\"")
}

fn regex_text(re: &Re) -> String {
    match re {
        Re::Char(c) if "./\"".contains(*c) => format!("\\{c}"),
        Re::Char(c) => c.to_string(),
        Re::Any => ".".to_owned(),
        Re::Class(negated, ranges) => {
            let ranges: String = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
            format!("[{}{ranges}]", if *negated { "^" } else { "" })
        }
        Re::Cat(parts) => parts.iter().map(|part| format!("({})", regex_text(part))).collect(),
        Re::Alt(parts) => format!("({})", parts.iter().map(regex_text).collect::<Vec<_>>().join("|")),
        Re::Repeat(part, low, high) => {
            let bounds = match (low, high) {
                (0, None) => "*".to_owned(),
                (1, None) => "+".to_owned(),
                (0, Some(1)) => "?".to_owned(),
                (low, None) => format!("{{{low},}}"),
                (low, Some(high)) if low == high => format!("{{{low}}}"),
                (low, Some(high)) => format!("{{{low},{high}}}"),
            };
            format!("({}){bounds}", regex_text(part))
        }
    }
}

/// The event as another sensor would write it; `None` where JSON cannot say it.
pub(crate) fn json(event: &Event, dice: &mut Dice) -> Option<String> {
    if !event.unknown.is_empty() {
        return None;
    }
    let dotted = dice.one_in(2);
    let mut root = serde_json::Map::new();
    for (name, values) in &event.known {
        let texts =
            values.iter().map(|value| String::from_utf8(value.clone()).ok()).collect::<Option<Vec<_>>>()?;
        let values: Vec<serde_json::Value> = texts
            .iter()
            .map(|text| match kind(name) {
                "number" if dice.one_in(2) => text.parse::<i64>().unwrap().into(),
                "bool" if dice.one_in(2) => (text == "true").into(),
                _ => text.as_str().into(),
            })
            .collect();
        let value = if values.len() == 1 && dice.one_in(2) { values[0].clone() } else { values.into() };
        if dotted {
            root.insert((*name).to_owned(), value);
            continue;
        }
        let mut at = &mut root;
        let (path, last) = name.rsplit_once('.').unwrap();
        for part in path.split('.') {
            let below = at.entry(part).or_insert_with(|| serde_json::Map::new().into());
            at = below.as_object_mut().unwrap();
        }
        at.insert(last.to_owned(), value);
    }
    Some(serde_json::Value::Object(root).to_string())
}
