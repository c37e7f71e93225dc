//! The semantics, written down in the plainest way: no structure is shared with the program, nothing is fast.

use crate::generate::Event;
use std::collections::BTreeSet;

/// A condition.
#[derive(Clone, Debug)]
pub(crate) enum Cond {
    And(Vec<Cond>),
    Or(Vec<Cond>),
    Not(Box<Cond>),
    Literal(bool),
    Compare(Expr, &'static str, Lit),
    Member { left: Expr, operator: &'static str, negated: bool, list: Vec<Lit> },
    Bare(Expr),
}

/// A value: a field, a literal, or what a function makes of values.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Field(&'static str),
    /// `?name` of a field that never has a value.
    Never,
    Lit(Lit),
    Call(&'static str, Vec<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Lit {
    Text(String),
    Number(i64),
    Bool(bool),
    Null,
    Regex(Re),
}

/// A regular expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Re {
    Char(char),
    Any,
    Class(bool, Vec<(char, char)>),
    Cat(Vec<Re>),
    Alt(Vec<Re>),
    Repeat(Box<Re>, usize, Option<usize>),
}

pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) deny: bool,
    pub(crate) trial: bool,
    pub(crate) when: Cond,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Ruled {
    pub(crate) verdict: &'static str,
    pub(crate) rule: Option<String>,
    pub(crate) trial: Option<String>,
}

/// A character: of UTF-8, or (from 0x11_0000 on) one invalid byte.
type Chars = Vec<u32>;

#[derive(Clone, Debug, PartialEq)]
enum Val {
    Text(Chars),
    Number(i64),
    Bool(bool),
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Truth {
    True,
    False,
    /// About a null: neither it nor its negation holds.
    Null,
    Unknown,
}

pub(crate) fn decide(rules: &[Rule], event: &Event) -> Ruled {
    let mut trial = None;
    let mut unknown = Vec::new();
    let mut found = None;
    for rule in rules {
        match holds(&rule.when, event) {
            Truth::True if rule.trial => trial = trial.or(Some(rule.id.clone())),
            Truth::True => {
                found = Some(rule);
                break;
            }
            Truth::Unknown if !rule.trial => unknown.push(rule),
            _ => {}
        }
    }
    let deny = found.is_some_and(|rule| rule.deny);
    match unknown.iter().find(|rule| rule.deny != deny) {
        Some(rule) => Ruled { verdict: "unknown", rule: Some(rule.id.clone()), trial },
        None => Ruled {
            verdict: if deny { "deny" } else { "allow" },
            rule: found.map(|rule| rule.id.clone()),
            trial,
        },
    }
}

/// Kleene's logic, with null as a fourth value: negation leaves it, and it does not hold. Pushing every negation down
/// to the comparisons and then reading null as false gives the same.
fn holds(cond: &Cond, event: &Event) -> Truth {
    resolve(cond, event, false)
}

fn resolve(cond: &Cond, event: &Event, negated: bool) -> Truth {
    match cond {
        Cond::Not(inner) => resolve(inner, event, !negated),
        Cond::And(parts) | Cond::Or(parts) => {
            let is_and = matches!(cond, Cond::And(_)) != negated;
            let truths: Vec<_> = parts.iter().map(|part| resolve(part, event, negated)).collect();
            let (strong, weak) =
                if is_and { (Truth::False, Truth::True) } else { (Truth::True, Truth::False) };
            if truths.contains(&strong) {
                strong
            } else if truths.contains(&Truth::Unknown) {
                Truth::Unknown
            } else {
                weak
            }
        }
        leaf => match (self::leaf(leaf, event), negated) {
            (Truth::Null, _) => Truth::False,
            (Truth::Unknown, _) => Truth::Unknown,
            (truth, negated) => from((truth == Truth::True) != negated),
        },
    }
}

fn from(value: bool) -> Truth {
    if value { Truth::True } else { Truth::False }
}

fn not(truth: Truth) -> Truth {
    match truth {
        Truth::True => Truth::False,
        Truth::False => Truth::True,
        other => other,
    }
}

fn leaf(cond: &Cond, event: &Event) -> Truth {
    match cond {
        Cond::Literal(value) => from(*value),
        Cond::Bare(expr) => predicate(expr, event, &|value| match value {
            Val::Bool(value) => Some(*value),
            _ => None,
        }),
        Cond::Compare(expr, "==", Lit::Null) => not(exists(expr, event)),
        Cond::Compare(expr, "!=", Lit::Null) => exists(expr, event),
        Cond::Compare(expr, "!=", value) => {
            not(predicate(expr, event, &|found| compare(found, value).map(|order| order.is_eq())))
        }
        Cond::Compare(expr, operator, value) => predicate(expr, event, &|found| {
            let order = compare(found, value)?;
            Some(match *operator {
                "==" => order.is_eq(),
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                ">=" => order.is_ge(),
                other => panic!("{other}"),
            })
        }),
        Cond::Member { left, operator, negated, list } => {
            let truth = predicate(left, event, &|found| {
                Some(list.iter().any(|entry| member(found, operator, entry)))
            });
            if *negated { not(truth) } else { truth }
        }
        Cond::And(_) | Cond::Or(_) | Cond::Not(_) => panic!("not a leaf"),
    }
}

/// A predicate on a field: false where the field is missing, true where it is of any value. On a function: null where
/// the function is null for every combination of values.
fn predicate(expr: &Expr, event: &Event, test: &dyn Fn(&Val) -> Option<bool>) -> Truth {
    if let Expr::Never = expr {
        return Truth::Null;
    }
    let Some(values) = values(expr, event) else { return Truth::Unknown };
    if let Expr::Field(_) = expr {
        return from(values.iter().any(|value| test(value) == Some(true)));
    }
    let results: Vec<_> =
        values.iter().map(|value| if *value == Val::Null { None } else { test(value) }).collect();
    if results.contains(&Some(true)) {
        Truth::True
    } else if results.contains(&Some(false)) {
        Truth::False
    } else {
        Truth::Null
    }
}

fn exists(expr: &Expr, event: &Event) -> Truth {
    match (expr, values(expr, event)) {
        (_, None) => Truth::Unknown,
        (Expr::Never, _) => Truth::False,
        (_, Some(values)) => from(values.iter().any(|value| *value != Val::Null)),
    }
}

/// Every value that an expression has; `None` where it cannot be known.
fn values(expr: &Expr, event: &Event) -> Option<Vec<Val>> {
    match expr {
        Expr::Never => Some(vec![Val::Null]),
        Expr::Lit(lit) => Some(vec![value_of(lit)]),
        Expr::Field(name) => field(name, event),
        Expr::Call(name, arguments) => {
            // Every combination of the values of the fields, each field with one value at a time.
            let mut fields = Vec::new();
            for argument in arguments {
                fields_of(argument, &mut fields);
            }
            let mut combinations = vec![Vec::new()];
            for name in fields {
                let mut values = field(name, event)?;
                if values.is_empty() {
                    values.push(Val::Null);
                }
                combinations = combinations
                    .iter()
                    .flat_map(|bound| {
                        values.iter().map(move |value| [bound.as_slice(), &[(name, value.clone())]].concat())
                    })
                    .collect();
            }
            Some(combinations.iter().map(|bound| call(name, arguments, bound)).collect())
        }
    }
}

fn field(name: &str, event: &Event) -> Option<Vec<Val>> {
    if event.unknown.contains(&name) {
        return None;
    }
    let values = event.known.get(name).cloned().unwrap_or_default();
    let text = |value: &Vec<u8>| String::from_utf8(value.clone()).unwrap();
    Some(match crate::generate::kind(name) {
        "text" => values.iter().map(|value| Val::Text(chars(value))).collect(),
        "number" => values.iter().map(|value| Val::Number(text(value).parse().unwrap())).collect(),
        _ => values.iter().map(|value| Val::Bool(text(value) == "true")).collect(),
    })
}

fn fields_of(expr: &Expr, fields: &mut Vec<&'static str>) {
    match expr {
        Expr::Field(name) if !fields.contains(name) => fields.push(name),
        Expr::Call(_, arguments) => arguments.iter().for_each(|argument| fields_of(argument, fields)),
        _ => {}
    }
}

fn value_of(lit: &Lit) -> Val {
    match lit {
        Lit::Text(text) => Val::Text(chars(text.as_bytes())),
        Lit::Number(number) => Val::Number(*number),
        Lit::Bool(value) => Val::Bool(*value),
        Lit::Null => Val::Null,
        Lit::Regex(_) => panic!("a regular expression is no value"),
    }
}

fn compute(expr: &Expr, bound: &[(&str, Val)]) -> Val {
    match expr {
        Expr::Never => Val::Null,
        Expr::Lit(lit) => value_of(lit),
        Expr::Field(name) => bound.iter().find(|(field, _)| field == name).unwrap().1.clone(),
        Expr::Call(name, arguments) => call(name, arguments, bound),
    }
}

fn call(name: &str, arguments: &[Expr], bound: &[(&str, Val)]) -> Val {
    let values: Vec<_> = arguments.iter().map(|argument| compute(argument, bound)).collect();
    if values.contains(&Val::Null) {
        return Val::Null;
    }
    let fold = name.ends_with('~');
    let text = |place: usize| match &values[place] {
        Val::Text(text) if fold => text.iter().map(|c| lower(*c)).collect(),
        Val::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    let number = |place: usize| match &values[place] {
        Val::Number(number) => *number,
        other => panic!("{other:?}"),
    };
    let find = |text: &[u32], wanted: &[u32], from: usize| {
        (from..=text.len()).find(|at| text[*at..].starts_with(wanted))
    };
    match name.trim_end_matches('~') {
        "startsWith" => Val::Bool(text(0).starts_with(&text(1))),
        "endsWith" => Val::Bool(text(0).ends_with(&text(1))),
        "stringContains" => Val::Bool(find(&text(0), &text(1), 0).is_some()),
        "length" => Val::Number(text(0).len() as i64),
        "indexOf" => {
            let from = if values.len() > 2 { number(2).max(0) as usize } else { 0 };
            let found = find(&text(0), &text(1), from.min(text(0).len()));
            found.map_or(Val::Null, |at| Val::Number(at as i64))
        }
        "substring" => {
            let text = text(0);
            let length = text.len() as i64;
            let place =
                |place: i64| (if place < 0 { place + length } else { place }).clamp(0, length) as usize;
            let (from, to) = (place(number(1)), if values.len() > 2 { place(number(2)) } else { text.len() });
            Val::Text(if from < to { text[from..to].to_vec() } else { Vec::new() })
        }
        "between" => {
            let Val::Text(whole) = &values[0] else { panic!() };
            let (source, left, right) = (text(0), text(1), text(2));
            if source.is_empty() || left.is_empty() || right.is_empty() {
                return Val::Text(whole.clone());
            }
            let inner = find(&source, &left, 0).and_then(|at| {
                let from = at + left.len();
                Some((from, find(&source, &right, from)?))
            });
            Val::Text(inner.map_or(Vec::new(), |(from, to)| whole[from..to].to_vec()))
        }
        "concat" => Val::Text(values.iter().flat_map(written).collect()),
        "string" => Val::Text(written(&values[0])),
        "add" => number(0).checked_add(number(1)).map_or(Val::Null, Val::Number),
        "subtract" => number(0).checked_sub(number(1)).map_or(Val::Null, Val::Number),
        "multiply" => number(0).checked_mul(number(1)).map_or(Val::Null, Val::Number),
        "modulo" => number(0).checked_rem(number(1)).map_or(Val::Null, Val::Number),
        other => panic!("{other}"),
    }
}

fn written(value: &Val) -> Chars {
    match value {
        Val::Text(text) => text.clone(),
        Val::Number(number) => chars(number.to_string().as_bytes()),
        Val::Bool(value) => chars(value.to_string().as_bytes()),
        Val::Null => panic!("null has no text"),
    }
}

/// Texts compare by their bytes.
fn compare(found: &Val, wanted: &Lit) -> Option<std::cmp::Ordering> {
    match (found, wanted) {
        (Val::Text(found), Lit::Text(wanted)) => Some(bytes(found).cmp(&wanted.as_bytes().to_vec())),
        (Val::Number(found), Lit::Number(wanted)) => Some(found.cmp(wanted)),
        (Val::Bool(found), Lit::Bool(wanted)) => Some(found.cmp(wanted)),
        _ => None,
    }
}

fn member(found: &Val, operator: &str, entry: &Lit) -> bool {
    let fold = operator.ends_with('~') || operator == ":";
    let folded = |text: &[u32]| -> Chars { text.iter().map(|c| if fold { lower(*c) } else { *c }).collect() };
    match (found, entry, operator.trim_end_matches('~')) {
        (Val::Text(found), Lit::Text(wanted), "in") => folded(found) == folded(&chars(wanted.as_bytes())),
        (Val::Text(found), Lit::Text(wanted), "like" | ":") => {
            wildcard(&folded(&chars(wanted.as_bytes())), &folded(found))
        }
        (Val::Text(found), Lit::Regex(wanted), "regex") => {
            ends(wanted, found, 0, fold).contains(&found.len())
        }
        (Val::Number(found), Lit::Number(wanted), "in") => found == wanted,
        (Val::Bool(found), Lit::Bool(wanted), "in") => found == wanted,
        _ => panic!("{found:?} {operator} {entry:?}"),
    }
}

fn wildcard(pattern: &[u32], text: &[u32]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((c, rest)) if *c == u32::from('*') => (0..=text.len()).any(|at| wildcard(rest, &text[at..])),
        Some((c, rest)) => match text.split_first() {
            Some((found, tail)) => (*c == u32::from('?') || c == found) && wildcard(rest, tail),
            None => false,
        },
    }
}

/// Where a match that begins at `from` can end.
fn ends(re: &Re, text: &[u32], from: usize, fold: bool) -> BTreeSet<usize> {
    let one = |test: &dyn Fn(u32) -> bool| {
        text.get(from).filter(|c| test(**c)).map(|_| from + 1).into_iter().collect()
    };
    match re {
        Re::Any => one(&|_| true),
        Re::Char(wanted) => one(&|c| same(c, u32::from(*wanted), fold)),
        Re::Class(negated, ranges) => one(&|c| {
            let inside = ranges
                .iter()
                .any(|(first, last)| (*first..=*last).any(|member| same(c, u32::from(member), fold)));
            inside != *negated
        }),
        Re::Cat(parts) => parts.iter().fold(BTreeSet::from([from]), |starts, part| {
            starts.iter().flat_map(|start| ends(part, text, *start, fold)).collect()
        }),
        Re::Alt(parts) => parts.iter().flat_map(|part| ends(part, text, from, fold)).collect(),
        Re::Repeat(part, low, high) => {
            let mut all = BTreeSet::new();
            let mut now = BTreeSet::from([from]);
            // More rounds than characters reach nothing new.
            for round in 0..=high.unwrap_or(low + text.len()) {
                if round >= *low {
                    all.extend(now.iter().copied());
                }
                now = now.iter().flat_map(|start| ends(part, text, *start, fold)).collect();
            }
            all
        }
    }
}

fn same(a: u32, b: u32, fold: bool) -> bool {
    a == b || (fold && lower(a) == lower(b))
}

fn lower(c: u32) -> u32 {
    if (u32::from('A')..=u32::from('Z')).contains(&c) { c + 32 } else { c }
}

fn chars(bytes: &[u8]) -> Chars {
    let mut chars = Vec::new();
    for chunk in bytes.utf8_chunks() {
        chars.extend(chunk.valid().chars().map(u32::from));
        chars.extend(chunk.invalid().iter().map(|byte| 0x11_0000 + u32::from(*byte)));
    }
    chars
}

fn bytes(chars: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for c in chars {
        match char::from_u32(*c) {
            Some(c) => bytes.extend(c.to_string().as_bytes()),
            None => bytes.push((c - 0x11_0000) as u8),
        }
    }
    bytes
}
