//! [`Syntax`] to [`Condition`]: every name known, every comparison of the right types. All mistakes are told at once.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a form that a place does not name is a mistake there, whatever it is"
)]

use super::condition::{Condition, Node, Number, Test};
use super::limits;
use super::mistake::Mistake;
use super::nearest::did_you_mean;
use super::parse::parse;
use super::pattern::Patterns;
use super::syntax::{Member, Order, Syntax, What};
use crate::event::{Effect, Field, Kind};
use std::ops::Range;

/// A checked condition and what is odd about it, or what is wrong with it.
pub(crate) fn check(text: &str, effect: Effect) -> Result<(Condition, Vec<Mistake>), Vec<Mistake>> {
    let syntax = parse(text)?;
    let mut checker = Checker { effect, fields: Vec::new(), mistakes: Vec::new(), warnings: Vec::new() };
    let root = checker.condition(&syntax);
    match root {
        Some(root) if checker.mistakes.is_empty() => {
            let condition = Condition { text: text.into(), root, fields: checker.fields.into() };
            Ok((condition, checker.warnings))
        }
        _ => Err(checker.mistakes),
    }
}

struct Checker {
    effect: Effect,
    fields: Vec<Field>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
}

/// What a comparison looks at.
enum Looked {
    Field(Field),
    /// `?name` of a field that nothing here ever has.
    Missing,
}

/// A value that stands in the text.
enum Constant {
    Text(String),
    Number(Number),
    Boolean(bool),
    Null,
}

impl Checker {
    fn wrong<T>(&mut self, mistake: Mistake) -> Option<T> {
        self.mistakes.push(mistake);
        None
    }

    fn condition(&mut self, syntax: &Syntax) -> Option<Node> {
        let test = match &syntax.what {
            What::And(parts) => Test::And(self.parts(parts)?),
            What::Or(parts) => Test::Or(self.parts(parts)?),
            What::Not(inner) => Test::Not(Box::new(self.condition(inner)?)),
            What::Boolean(value) => Test::Constant(*value),
            What::Compare(order, left, right) => self.compare(*order, left, right)?,
            What::Member { operator, fold, negated, left, list } => {
                let test = self.member(*operator, *fold, left, list)?;
                return Some(self.negated(test, *negated, &syntax.range));
            }
            What::Field { .. } => self.bare(syntax)?,
            What::Call { name, .. } => {
                let message = format!("function `{name}` is not known here");
                return self.wrong(Mistake::new(syntax.range.clone(), message));
            }
            What::Text(_) | What::Integer(_) | What::Decimal(_) | What::Null => {
                let mistake = Mistake::new(syntax.range.clone(), "a value alone is no condition");
                return self.wrong(mistake.help("compare a field with it: `user.id == \"0\"`"));
            }
        };
        Some(Node { range: syntax.range.clone(), test })
    }

    fn negated(&self, test: Test, negated: bool, range: &Range<usize>) -> Node {
        let node = Node { range: range.clone(), test };
        // The negation of a null is a null.
        if !negated || matches!(node.test, Test::Null) {
            return node;
        }
        Node { range: range.clone(), test: Test::Not(Box::new(node)) }
    }

    /// All of them, so that the mistakes of each are told.
    fn parts(&mut self, parts: &[Syntax]) -> Option<Box<[Node]>> {
        let nodes: Vec<_> = parts.iter().map(|part| self.condition(part)).collect();
        nodes.into_iter().collect()
    }

    /// A field alone: true where it is true.
    fn bare(&mut self, syntax: &Syntax) -> Option<Test> {
        match self.looked(syntax)? {
            Looked::Missing => Some(Test::Null),
            Looked::Field(field) if field.kind() == Kind::Boolean => Some(Test::Bool(field, true)),
            Looked::Field(field) => {
                let message =
                    format!("`{}` is a {}; alone it is no condition", field.name(), field.kind().name());
                self.wrong(
                    Mistake::new(syntax.range.clone(), message)
                        .help(format!("compare it, or write `{} != null`", field.name())),
                )
            }
        }
    }

    fn compare(&mut self, order: Order, left: &Syntax, right: &Syntax) -> Option<Test> {
        let (order, left, right) = match (constant(left), constant(right)) {
            (_, Some(value)) => (order, left, (right, value)),
            (Some(value), None) => (order.flipped(), right, (left, value)),
            (None, None) => {
                let _looked = (self.looked(left), self.looked(right));
                let range = left.range.start..right.range.end;
                return self.wrong(
                    Mistake::new(range, "two fields cannot be compared with each other")
                        .help("one side of a comparison is a value that stands in the rule"),
                );
            }
        };
        let (place, value) = right;
        let field = match self.looked(left)? {
            Looked::Field(field) => field,
            Looked::Missing => return self.missing(order, &value, place),
        };
        let range = place.range.clone();
        let test = match (value, field.kind()) {
            (Constant::Null, _) => {
                return self
                    .null(order, &range)
                    .map(|exists| exists_test(field, exists, left.range.start..range.end));
            }
            (Constant::Text(text), Kind::Keyword) => match order {
                Order::Equal | Order::NotEqual => {
                    self.warn_of_wildcards(&text, &range);
                    Test::Text(field, Patterns::exact([text.as_str()], false))
                }
                order => return Some(Test::Order(field, order, text.into_bytes().into())),
            },
            (Constant::Number(number), Kind::Number) => match order {
                Order::NotEqual => Test::Number(field, Order::Equal, [number].into()),
                order => return Some(Test::Number(field, order, [number].into())),
            },
            (Constant::Boolean(value), Kind::Boolean) if matches!(order, Order::Equal | Order::NotEqual) => {
                Test::Bool(field, value)
            }
            (value, _) => return self.wrong_type(field, order.text(), &value, &range),
        };
        Some(if order == Order::NotEqual {
            Test::Not(Box::new(Node { range: left.range.start..range.end, test }))
        } else {
            test
        })
    }

    /// True for `!= null`.
    fn null(&mut self, order: Order, range: &Range<usize>) -> Option<bool> {
        match order {
            Order::Equal => Some(false),
            Order::NotEqual => Some(true),
            _ => self.wrong(
                Mistake::new(range.clone(), "null has no order")
                    .help("`== null` and `!= null` ask whether there is a value"),
            ),
        }
    }

    /// A comparison of what is never there.
    fn missing(&mut self, order: Order, value: &Constant, place: &Syntax) -> Option<Test> {
        match value {
            Constant::Null => self.null(order, &place.range).map(|exists| Test::Constant(!exists)),
            _ => Some(Test::Null),
        }
    }

    fn member(&mut self, operator: Member, fold: bool, left: &Syntax, list: &[Syntax]) -> Option<Test> {
        let looked = self.looked(left);
        let values: Vec<_> = list.iter().map(|entry| self.entry(entry)).collect();
        let looked = looked?;
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        let Looked::Field(field) = looked else { return Some(Test::Null) };
        let word = match operator {
            Member::In => "in",
            Member::Like => "like",
            Member::Regex => "regex",
        };
        let mut texts = Vec::new();
        let mut numbers = Vec::new();
        let mut truths = Vec::new();
        let mut wrong = false;
        for ((entry, range), kind) in values.into_iter().zip(std::iter::repeat(field.kind())) {
            match (entry, kind) {
                (Constant::Text(text), Kind::Keyword) => texts.push((text, range)),
                (Constant::Number(number), Kind::Number) if operator == Member::In => numbers.push(number),
                (Constant::Boolean(value), Kind::Boolean) if operator == Member::In => truths.push(value),
                (Constant::Null, _) if operator == Member::In => {
                    wrong = true;
                    self.mistakes.push(
                        Mistake::new(range, "null in a list")
                            .help("`== null` asks whether there is no value"),
                    );
                }
                (value, _) => {
                    wrong = true;
                    let _never: Option<()> = self.wrong_type(field, word, &value, &range);
                }
            }
        }
        if wrong {
            return None;
        }
        match (field.kind(), operator) {
            (Kind::Number, _) => Some(Test::Number(field, Order::Equal, numbers.into())),
            (Kind::Boolean, _) => Some(match truths.as_slice() {
                [first, rest @ ..] if rest.iter().all(|value| value == first) => Test::Bool(field, *first),
                _ => Test::Exists(field),
            }),
            (Kind::Keyword, Member::In) => {
                for (text, range) in &texts {
                    self.warn_of_wildcards(text, range);
                }
                Some(Test::Text(field, Patterns::exact(texts.iter().map(|(text, _)| text.as_str()), fold)))
            }
            (Kind::Keyword, Member::Like) => {
                for (text, range) in &texts {
                    self.check_wildcard(text, range);
                }
                Some(Test::Text(
                    field,
                    Patterns::wildcards(texts.iter().map(|(text, _)| text.as_str()), fold),
                ))
            }
            (Kind::Keyword, Member::Regex) => {
                self.wrong(Mistake::new(left.range.clone(), "`regex` is not known here"))
            }
        }
    }

    fn check_wildcard(&mut self, text: &str, range: &Range<usize>) {
        let long = text.split('*').any(|piece| piece.contains('?') && piece.chars().count() > limits::PIECE);
        if long {
            let message = format!("more than {} characters with `?` among them and no `*`", limits::PIECE);
            self.mistakes.push(Mistake::new(range.clone(), message));
        }
    }

    fn warn_of_wildcards(&mut self, text: &str, range: &Range<usize>) {
        if text.contains('*') {
            let warning = Mistake::new(range.clone(), "here `*` is an ordinary character");
            self.warnings.push(warning.help("wildcards need `like`, or `:` which folds case"));
        }
    }

    fn entry(&mut self, entry: &Syntax) -> Option<(Constant, Range<usize>)> {
        match constant(entry) {
            Some(value) => Some((value, entry.range.clone())),
            None => {
                self.wrong(Mistake::new(entry.range.clone(), "a list holds values, not fields or conditions"))
            }
        }
    }

    /// The field that stands there.
    fn looked(&mut self, syntax: &Syntax) -> Option<Looked> {
        match &syntax.what {
            What::Field { name, optional } => self.field(name, *optional, &syntax.range),
            What::Call { name, .. } => {
                let message = format!("function `{name}` is not known here");
                self.wrong(Mistake::new(syntax.range.clone(), message))
            }
            _ => self.wrong(Mistake::new(syntax.range.clone(), "a field was expected here")),
        }
    }

    fn field(&mut self, name: &str, optional: bool, range: &Range<usize>) -> Option<Looked> {
        let Some(field) = Field::named(name) else {
            let mistake = unknown_field(name, range);
            if optional {
                let help = mistake.help.unwrap_or_else(|| "`?` makes it null".into());
                self.warnings
                    .push(Mistake::new(range.clone(), format!("`{name}` never has a value here")).help(help));
                return Some(Looked::Missing);
            }
            return self.wrong(mistake);
        };
        if self.effect == Effect::Allow && field.is_claimed() {
            let message = format!("an allow rule cannot rest on `{name}`: the caller chooses it");
            return self.wrong(
                Mistake::new(range.clone(), message)
                    .help("name the file, the user or the parent instead; a deny rule may use it"),
            );
        }
        if !self.fields.contains(&field) {
            self.fields.push(field);
        }
        Some(Looked::Field(field))
    }

    fn wrong_type<T>(
        &mut self,
        field: Field,
        operator: &str,
        value: &Constant,
        range: &Range<usize>,
    ) -> Option<T> {
        let message = format!(
            "`{}` is a {}: `{operator}` cannot compare it with {}",
            field.name(),
            field.kind().name(),
            value.name()
        );
        let help = match (field.kind(), value) {
            (Kind::Keyword, Constant::Number(Number::Integer(number))) => {
                Some(format!("keywords are text: write \"{number}\""))
            }
            (Kind::Number, Constant::Text(text)) if text.parse::<f64>().is_ok() => {
                Some(format!("write {text} without quotes"))
            }
            (Kind::Boolean, Constant::Text(text)) if text == "true" || text == "false" => {
                Some(format!("write {text} without quotes"))
            }
            (Kind::Boolean, _) => Some("write `== true` or `== false`".to_owned()),
            (Kind::Number, _) => {
                Some("a number is compared with numbers by == != < <= > >= and `in`".to_owned())
            }
            (Kind::Keyword, _) => Some("a keyword is compared with text".to_owned()),
        };
        let mut mistake = Mistake::new(range.clone(), message);
        mistake.help = help;
        self.wrong(mistake)
    }
}

fn exists_test(field: Field, exists: bool, range: Range<usize>) -> Test {
    let test = Test::Exists(field);
    if exists { test } else { Test::Not(Box::new(Node { range, test })) }
}

fn constant(syntax: &Syntax) -> Option<Constant> {
    match &syntax.what {
        What::Text(text) => Some(Constant::Text(text.clone())),
        What::Integer(number) => Some(Constant::Number(Number::Integer(*number))),
        What::Decimal(number) => Some(Constant::Number(Number::Decimal(*number))),
        What::Boolean(value) => Some(Constant::Boolean(*value)),
        What::Null => Some(Constant::Null),
        _ => None,
    }
}

impl Constant {
    fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Boolean(_) => "a truth value",
            Self::Null => "null",
        }
    }
}

/// What is wrong with a name that is no field here.
fn unknown_field(name: &str, range: &Range<usize>) -> Mistake {
    let message = format!("unknown field `{name}`");
    let mistake = Mistake::new(range.clone(), message);
    match did_you_mean(name, Field::ALL.iter().map(|field| field.name())) {
        Some(help) => mistake.help(help),
        None => {
            mistake.help("it cannot be known before the exec; shmguard-rules(5) lists the fields that can")
        }
    }
}
