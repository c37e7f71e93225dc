//! [`Syntax`] to [`Condition`]: every name known, every comparison of the right types. All mistakes are told at once.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a form that a place does not name is a mistake there, whatever it is"
)]

use super::condition::{Computed, Condition, Expression, Node, Number, Test, Wanted};
use super::function::{self, Signature, Type};
use super::limits;
use super::mistake::Mistake;
use super::nearest::did_you_mean;
use super::parse::parse;
use super::pattern::Patterns;
use super::regex::Regex;
use super::syntax::{Member, Order, Syntax, What};
use crate::event::{Effect, Field, Kind};
use std::ops::Range;

/// A checked condition and what is odd about it, or what is wrong with it.
pub(crate) fn check(text: &str, effect: Effect) -> Result<(Condition, Vec<Mistake>), Vec<Mistake>> {
    let syntax = parse(text)?;
    let mut checker = Checker { effect, fields: Vec::new(), mistakes: Vec::new(), warnings: Vec::new() };
    match checker.condition(&syntax) {
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
    /// `?name` of a field that nothing here ever has, or a null: whatever is compared with it is neither true nor
    /// false.
    Null,
    Computed(Expression, Type),
}

/// A value that stands in the text.
enum Constant {
    Text(String),
    Number(Number),
    Boolean(bool),
    Null,
}

impl Checker {
    fn wrong<T>(
        &mut self,
        range: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Option<T> {
        let mut mistake = Mistake::new(range, message);
        mistake.help = help;
        self.mistakes.push(mistake);
        None
    }

    fn condition(&mut self, syntax: &Syntax) -> Option<Node> {
        let range = syntax.range.clone();
        let test = match &syntax.what {
            What::And(parts) => Test::And(self.parts(parts)?),
            What::Or(parts) => Test::Or(self.parts(parts)?),
            What::Not(inner) => Test::Not(Box::new(self.condition(inner)?)),
            What::Boolean(value) => Test::Constant(*value),
            What::Null => Test::Null,
            What::Compare(order, left, right) => return self.compare(*order, left, right, range),
            What::Member { operator, fold, negated, left, list } => {
                let test = self.member(*operator, *fold, left, list)?;
                return Some(if *negated { not(Node { range, test }) } else { Node { range, test } });
            }
            What::Field { .. } | What::Call { .. } => self.bare(syntax)?,
            What::Text(_) | What::Integer(_) | What::Decimal(_) => {
                let help = "compare a field with it: `user.id == \"0\"`".to_owned();
                return self.wrong(range, "a value alone is no condition", Some(help));
            }
        };
        Some(Node { range, test })
    }

    /// All of them, so that the mistakes of each are told.
    fn parts(&mut self, parts: &[Syntax]) -> Option<Box<[Node]>> {
        let nodes: Vec<_> = parts.iter().map(|part| self.condition(part)).collect();
        nodes.into_iter().collect()
    }

    /// A field or a call alone: true where it is true.
    fn bare(&mut self, syntax: &Syntax) -> Option<Test> {
        match self.looked(syntax)? {
            Looked::Null => Some(Test::Null),
            Looked::Field(field) if field.kind() == Kind::Boolean => Some(Test::Bool(field, true)),
            Looked::Field(field) => {
                let message =
                    format!("`{}` is a {}; alone it is no condition", field.name(), field.kind().name());
                let help = format!("compare it, or write `{} != null`", field.name());
                self.wrong(syntax.range.clone(), message, Some(help))
            }
            Looked::Computed(expression, Type::Boolean) => {
                self.computed(expression, Wanted::Bool(true), syntax)
            }
            Looked::Computed(_, gives) => {
                let message = format!("this is {}; alone it is no condition", gives.name());
                self.wrong(syntax.range.clone(), message, Some("compare it with a value".to_owned()))
            }
        }
    }

    fn compare(&mut self, order: Order, left: &Syntax, right: &Syntax, range: Range<usize>) -> Option<Node> {
        let (order, left, place, value) = match (constant(left), constant(right)) {
            (_, Some(value)) => (order, left, right, value),
            (Some(value), None) => (order.flipped(), right, left, value),
            (None, None) => {
                let _looked = (self.looked(left), self.looked(right));
                let help = "one side of a comparison is a value that stands in the rule".to_owned();
                return self.wrong(range, "two fields cannot be compared with each other", Some(help));
            }
        };
        let looked = self.looked(left)?;
        // `!=` is the negation of `==`, so that it holds where no value is equal.
        let (equal, negated) = match order {
            Order::NotEqual => (Order::Equal, true),
            order => (order, false),
        };
        let test = match looked {
            Looked::Null => self.with_nothing(equal, &value, place)?,
            Looked::Field(field) => self.field_with(field, equal, value, place)?,
            Looked::Computed(expression, gives) => {
                self.computed_with(expression, gives, equal, value, left, place)?
            }
        };
        let node = Node { range, test };
        Some(if negated { not(node) } else { node })
    }

    /// A comparison of what is never there. `null == null` is true; every other one is null.
    fn with_nothing(&mut self, order: Order, value: &Constant, place: &Syntax) -> Option<Test> {
        match value {
            Constant::Null => self.null(order, place).map(|()| Test::Constant(true)),
            _ => Some(Test::Null),
        }
    }

    fn field_with(&mut self, field: Field, order: Order, value: Constant, place: &Syntax) -> Option<Test> {
        Some(match (value, field.kind()) {
            (Constant::Null, _) => {
                self.null(order, place)?;
                let exists = Node { range: place.range.clone(), test: Test::Exists(field) };
                Test::Not(Box::new(exists))
            }
            (Constant::Text(text), Kind::Keyword) if order == Order::Equal => {
                self.warn_of_wildcards(&text, &place.range);
                Test::Text(field, Patterns::exact([text.as_str()], false))
            }
            (Constant::Text(text), Kind::Keyword) => Test::Order(field, order, text.into_bytes().into()),
            (Constant::Number(number), Kind::Number) => Test::Number(field, order, [number].into()),
            (Constant::Boolean(value), Kind::Boolean) if order == Order::Equal => Test::Bool(field, value),
            (value, kind) => {
                let name = format!("`{}` is a {}", field.name(), kind.name());
                return self.wrong_type(&name, kind.into(), order.text(), &value, &place.range);
            }
        })
    }

    fn computed_with(
        &mut self,
        expression: Expression,
        gives: Type,
        order: Order,
        value: Constant,
        left: &Syntax,
        place: &Syntax,
    ) -> Option<Test> {
        let wanted = match (value, gives) {
            (Constant::Null, _) => {
                self.null(order, place)?;
                let exists = self.computed(expression, Wanted::Exists, left)?;
                return Some(Test::Not(Box::new(Node { range: left.range.clone(), test: exists })));
            }
            (Constant::Text(text), Type::Text) if order == Order::Equal => {
                Wanted::Text(Patterns::exact([text.as_str()], false))
            }
            (Constant::Text(text), Type::Text) => Wanted::Order(order, text.into_bytes().into()),
            (Constant::Number(number), Type::Number) => Wanted::Number(order, [number].into()),
            (Constant::Boolean(value), Type::Boolean) if order == Order::Equal => Wanted::Bool(value),
            (value, gives) => {
                let name = format!("this is {}", gives.name());
                return self.wrong_type(&name, gives, order.text(), &value, &place.range);
            }
        };
        self.computed(expression, wanted, left)
    }

    /// A comparison with null asks only whether there is a value.
    fn null(&mut self, order: Order, place: &Syntax) -> Option<()> {
        if order == Order::Equal {
            return Some(());
        }
        let help = "`== null` and `!= null` ask whether there is a value".to_owned();
        self.wrong(place.range.clone(), "null has no order", Some(help))
    }

    fn computed(&mut self, expression: Expression, wanted: Wanted, syntax: &Syntax) -> Option<Test> {
        let mut fields = Vec::new();
        fields_of(&expression, &mut fields);
        if fields.len() > limits::FIELDS_OF_A_CALL {
            let message = format!("more than {} fields in one call", limits::FIELDS_OF_A_CALL);
            return self.wrong(syntax.range.clone(), message, None);
        }
        Some(Test::Computed(Box::new(Computed { expression, fields: fields.into(), wanted })))
    }

    fn member(&mut self, operator: Member, fold: bool, left: &Syntax, list: &[Syntax]) -> Option<Test> {
        let looked = self.looked(left);
        let values: Vec<_> = list.iter().map(|entry| self.entry(entry)).collect();
        let looked = looked?;
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        let (name, kind) = match &looked {
            Looked::Null => return Some(Test::Null),
            Looked::Field(field) => {
                (format!("`{}` is a {}", field.name(), field.kind().name()), field.kind().into())
            }
            Looked::Computed(_, gives) => (format!("this is {}", gives.name()), *gives),
        };
        let wanted = self.wanted(operator, fold, &name, kind, values)?;
        match looked {
            Looked::Field(field) => Some(match wanted {
                Wanted::Exists => Test::Exists(field),
                Wanted::Bool(value) => Test::Bool(field, value),
                Wanted::Number(order, numbers) => Test::Number(field, order, numbers),
                Wanted::Order(order, text) => Test::Order(field, order, text),
                Wanted::Text(patterns) => Test::Text(field, patterns),
            }),
            Looked::Computed(expression, _) => self.computed(expression, wanted, left),
            Looked::Null => Some(Test::Null),
        }
    }

    /// What a list asks of a value of this type.
    fn wanted(
        &mut self,
        operator: Member,
        fold: bool,
        name: &str,
        kind: Type,
        values: Vec<(Constant, Range<usize>)>,
    ) -> Option<Wanted> {
        let mut texts = Vec::new();
        let mut numbers = Vec::new();
        let mut truths = Vec::new();
        let mut wrong = false;
        for (value, range) in values {
            match (value, kind) {
                (Constant::Text(text), Type::Text) => texts.push((text, range)),
                (Constant::Number(number), Type::Number) if operator == Member::In => numbers.push(number),
                (Constant::Boolean(value), Type::Boolean) if operator == Member::In => truths.push(value),
                (Constant::Null, _) => {
                    wrong = true;
                    let help = "`== null` asks whether there is no value".to_owned();
                    let _none: Option<()> = self.wrong(range, "null in a list", Some(help));
                }
                (value, _) => {
                    wrong = true;
                    let _none: Option<()> = self.wrong_type(name, kind, operator.text(), &value, &range);
                }
            }
        }
        if wrong {
            return None;
        }
        Some(match (kind, operator) {
            (Type::Number, _) => Wanted::Number(Order::Equal, numbers.into()),
            (Type::Boolean, _) => match truths.as_slice() {
                [first, rest @ ..] if rest.iter().all(|value| value == first) => Wanted::Bool(*first),
                _ => Wanted::Exists,
            },
            (_, Member::In) => {
                for (text, range) in &texts {
                    self.warn_of_wildcards(text, range);
                }
                Wanted::Text(Patterns::exact(texts.iter().map(|(text, _)| text.as_str()), fold))
            }
            (_, Member::Like) => {
                for (text, range) in &texts {
                    self.check_wildcard(text, range);
                }
                Wanted::Text(Patterns::wildcards(texts.iter().map(|(text, _)| text.as_str()), fold))
            }
            (_, Member::Regex) => {
                let regexes: Vec<_> =
                    texts.iter().map(|(text, range)| self.regex(text, fold, range)).collect();
                Wanted::Text(Patterns::regexes(regexes.into_iter().collect::<Option<_>>()?))
            }
        })
    }

    fn regex(&mut self, text: &str, fold: bool, range: &Range<usize>) -> Option<Regex> {
        match Regex::translate(text, fold) {
            Ok(translated) => {
                if let Some(anchor) = translated.anchor {
                    let warning =
                        Mistake::new(range.clone(), format!("here `{anchor}` is an ordinary character"));
                    self.warnings.push(warning.help("a regular expression always matches the whole value"));
                }
                Some(translated.regex)
            }
            Err(mistake) => {
                let near = text.get(mistake.range.start..).unwrap_or_default();
                let place = if near.is_empty() || near.len() == text.len() {
                    String::new()
                } else {
                    format!(" (at `{}`)", near.chars().take(12).collect::<String>())
                };
                self.wrong(range.clone(), format!("{}{place}", mistake.message), mistake.help)
            }
        }
    }

    fn check_wildcard(&mut self, text: &str, range: &Range<usize>) {
        let long = |piece: &str| piece.contains('?') && piece.chars().count() > limits::PIECE;
        if text.split('*').any(long) {
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
            None => self.wrong(entry.range.clone(), "a list holds values, not fields or conditions", None),
        }
    }

    /// The field or the call that stands there.
    fn looked(&mut self, syntax: &Syntax) -> Option<Looked> {
        match &syntax.what {
            What::Field { name, optional } => self.field(name, *optional, &syntax.range),
            What::Call { .. } | What::Text(_) | What::Integer(_) | What::Decimal(_) | What::Boolean(_) => {
                let (expression, gives) = self.expression(syntax)?;
                Some(Looked::Computed(expression, gives))
            }
            What::Null => Some(Looked::Null),
            _ => self.wrong(syntax.range.clone(), "a field or a function was expected here", None),
        }
    }

    fn expression(&mut self, syntax: &Syntax) -> Option<(Expression, Type)> {
        Some(match &syntax.what {
            What::Text(text) => (Expression::Text(text.as_bytes().into()), Type::Text),
            What::Integer(number) => (Expression::Number(Number::Integer(*number)), Type::Number),
            What::Decimal(number) => (Expression::Number(Number::Decimal(*number)), Type::Number),
            What::Boolean(value) => (Expression::Boolean(*value), Type::Boolean),
            What::Null => (Expression::Null, Type::Any),
            What::Field { name, optional } => match self.field(name, *optional, &syntax.range)? {
                Looked::Field(field) => (Expression::Field(field), field.kind().into()),
                _ => (Expression::Null, Type::Any),
            },
            What::Call { name, fold, arguments } => self.call(name, *fold, arguments, &syntax.range)?,
            _ => return self.wrong(syntax.range.clone(), "a condition cannot be an argument", None),
        })
    }

    fn call(
        &mut self,
        name: &str,
        fold: bool,
        arguments: &[Syntax],
        range: &Range<usize>,
    ) -> Option<(Expression, Type)> {
        // The mistakes in the arguments are told even where the function is not known.
        let given: Vec<_> = arguments.iter().map(|argument| self.expression(argument)).collect();
        let Some(signature) = function::named(name) else {
            let help = function::instead_of(name)
                .map(str::to_owned)
                .or_else(|| did_you_mean(name, function::ALL.iter().map(|signature| signature.name)));
            return self.wrong(range.clone(), format!("unknown function `{name}`"), help);
        };
        let name = signature.name;
        if fold && !signature.folds {
            let message = format!("`{name}` has no form with `~`");
            return self.wrong(range.clone(), message, None);
        }
        self.count(signature, arguments.len(), range)?;
        let given = given.into_iter().collect::<Option<Vec<_>>>()?;
        let mut wrong = false;
        for (place, ((_, gives), argument)) in given.iter().zip(arguments).enumerate() {
            let wanted = signature.argument(place).unwrap_or(Type::Any);
            if wanted != Type::Any && *gives != Type::Any && wanted != *gives {
                wrong = true;
                let message = format!(
                    "argument {} of `{name}` is {}; {} was found",
                    place + 1,
                    wanted.name(),
                    gives.name()
                );
                let help = (*gives == Type::Number && wanted == Type::Text)
                    .then(|| "`string(...)` makes a text of it".to_owned());
                let _none: Option<()> = self.wrong(argument.range.clone(), message, help);
            }
        }
        if wrong {
            return None;
        }
        if signature.function == function::Function::CidrMatch {
            self.networks(&given, arguments)?;
        }
        let arguments = given.into_iter().map(|(expression, _)| expression).collect();
        Some((Expression::Call { function: signature.function, fold, arguments }, signature.gives))
    }

    fn count(&mut self, signature: &Signature, given: usize, range: &Range<usize>) -> Option<()> {
        let least = signature.needs.len();
        let most = if signature.repeats { usize::MAX } else { least + signature.may.len() };
        if (least..=most).contains(&given) {
            return Some(());
        }
        let wanted = match most {
            usize::MAX => format!("{least} or more"),
            most if most == least => format!("{least}"),
            most => format!("{least} to {most}"),
        };
        let message = format!("`{}` takes {wanted} arguments; {given} were given", signature.name);
        self.wrong(range.clone(), message, None)
    }

    /// The networks of `cidrMatch` stand in the rule and are written right.
    fn networks(&mut self, given: &[(Expression, Type)], arguments: &[Syntax]) -> Option<()> {
        let mut fine = Some(());
        for ((expression, _), syntax) in given.iter().zip(arguments).skip(1) {
            let text = match expression {
                Expression::Text(text) => std::str::from_utf8(text).ok(),
                _ => None,
            };
            if text.and_then(super::network::Network::parse).is_none() {
                let help = "a network is written \"10.0.0.0/8\" or \"fe80::/10\"".to_owned();
                fine = self.wrong(syntax.range.clone(), "this is no network", Some(help));
            }
        }
        fine
    }

    fn field(&mut self, name: &str, optional: bool, range: &Range<usize>) -> Option<Looked> {
        let Some(field) = Field::named(name) else {
            let (message, help) = super::unknowable::explain(name);
            if optional {
                let warning = Mistake::new(range.clone(), format!("`{name}` never has a value here"));
                self.warnings.push(warning.help(help));
                return Some(Looked::Null);
            }
            return self.wrong(range.clone(), message, Some(help));
        };
        if self.effect == Effect::Allow && field.is_claimed() {
            let message = format!("an allow rule cannot rest on `{name}`: the caller chooses it");
            let help = "name the file, the user or the parent instead; a deny rule may use it".to_owned();
            return self.wrong(range.clone(), message, Some(help));
        }
        if !self.fields.contains(&field) {
            self.fields.push(field);
        }
        Some(Looked::Field(field))
    }

    fn wrong_type<T>(
        &mut self,
        what: &str,
        kind: Type,
        operator: &str,
        value: &Constant,
        range: &Range<usize>,
    ) -> Option<T> {
        let message = format!("{what}: `{operator}` cannot compare it with {}", value.name());
        let help = match (kind, value) {
            (Type::Text, Constant::Number(Number::Integer(number))) => {
                format!("keywords are text: write \"{number}\"")
            }
            (Type::Number, Constant::Text(text)) if text.parse::<f64>().is_ok() => {
                format!("write {text} without quotes")
            }
            (Type::Boolean, Constant::Text(text)) if text == "true" || text == "false" => {
                format!("write {text} without quotes")
            }
            (Type::Boolean, _) => "write `== true` or `== false`".to_owned(),
            (Type::Number, _) => "a number is compared with numbers by == != < <= > >= and `in`".to_owned(),
            (Type::Text | Type::Any, _) => "a keyword is compared with text".to_owned(),
        };
        self.wrong(range.clone(), message, Some(help))
    }
}

impl From<Kind> for Type {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Keyword => Self::Text,
            Kind::Number => Self::Number,
            Kind::Boolean => Self::Boolean,
        }
    }
}

/// The negation; that of a null is a null.
fn not(node: Node) -> Node {
    match node.test {
        Test::Null => node,
        _ => Node { range: node.range.clone(), test: Test::Not(Box::new(node)) },
    }
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

fn fields_of(expression: &Expression, fields: &mut Vec<Field>) {
    match expression {
        Expression::Field(field) if !fields.contains(field) => fields.push(*field),
        Expression::Call { arguments, .. } => {
            for argument in arguments {
                fields_of(argument, fields);
            }
        }
        _ => {}
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
