//! EQL's tokens to [`Syntax`]: the conditions of EqlBase.g4, for one event.
//!
//! Precedence is `not` over `and` over `or`; comparisons do not chain. Nesting is bounded here, so that nothing that
//! walks the tree later needs a bound of its own. Chains of `and` and `or` are one node, however long.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a token that a production does not name is unexpected, whatever it is"
)]

use super::lex::{Kind, Symbol, Token, lex};
use super::limits;
use super::mistake::Mistake;
use super::nearest::did_you_mean;
use super::syntax::{Member, Order, Syntax, What};
use std::ops::Range;

/// The condition that `text` says. `process where` in front is taken and checked.
pub(crate) fn parse(text: &str) -> Result<Syntax, Vec<Mistake>> {
    if text.len() > limits::CONDITION {
        let message = format!("the condition has {} bytes; {} are allowed", text.len(), limits::CONDITION);
        return Err(vec![Mistake::new(0..1, message)]);
    }
    let (tokens, mut mistakes) = lex(text);
    if let Some(several) = several_events(&tokens) {
        return Err(vec![several]);
    }
    // After a token was lost the rest cannot be trusted to say what was meant.
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, sums: 0 };
    let parsed = parser.header().and_then(|()| parser.condition()).and_then(|syntax| {
        parser.end()?;
        Ok(syntax)
    });
    parsed.map_err(|mistake| {
        mistakes.push(mistake);
        mistakes
    })
}

/// What is wrong where the text is about more than one event.
fn several_events(tokens: &[Token]) -> Option<Mistake> {
    let (Kind::Name(kind), Kind::Name(next)) = (&tokens.first()?.kind, &tokens.get(1)?.kind) else {
        return None;
    };
    let several = ["sequence", "sample", "join"].contains(&kind.as_str())
        && (next == "by" || next == "with" || next == "where");
    several.then(|| {
        Mistake::new(
            tokens.first().map_or(0..0, |token| token.range.clone()),
            format!("a {kind} of events cannot be judged"),
        )
        .help("a rule judges one attempt at a time, before it happens")
    })
}

type Parsed<T = Syntax> = Result<T, Mistake>;

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// Operators of arithmetic so far. Each nests the tree one deeper, wherever it stands.
    sums: usize,
}

const END: Token = Token { kind: Kind::End, range: 0..0 };

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).or(self.tokens.last()).unwrap_or(&END)
    }

    fn after(&self, steps: usize) -> &Token {
        self.tokens.get(self.at + steps).or(self.tokens.last()).unwrap_or(&END)
    }

    fn symbol(&mut self, symbol: Symbol) -> bool {
        let found = self.peek().kind == Kind::Symbol(symbol);
        self.at += usize::from(found);
        found
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.peek().kind, Kind::Name(name) if name == word)
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    /// The end of the token before.
    fn so_far(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |token| token.range.end)
    }

    fn expect(&mut self, symbol: Symbol, after: &str) -> Parsed<()> {
        if self.symbol(symbol) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{}` {after}", symbol.text())))
    }

    fn unexpected(&self, wanted: &str) -> Mistake {
        let token = self.peek();
        let found = match &token.kind {
            Kind::End => "the condition ends here".to_owned(),
            Kind::Name(name) => format!("`{name}` stands here"),
            Kind::Text(_) => "a text stands here".to_owned(),
            Kind::Integer(_) | Kind::Decimal(_) => "a number stands here".to_owned(),
            Kind::Symbol(symbol) => format!("`{}` stands here", symbol.text()),
        };
        let mistake = Mistake::new(token.range.clone(), format!("{found}; expected {wanted}"));
        match &token.kind {
            Kind::Name(name) => {
                let words = ["and", "or", "not", "in", "like", "regex", "where", "true", "false", "null"];
                match did_you_mean(name, words.into_iter().filter(|word| word != name)) {
                    Some(help) => mistake.help(help),
                    None => mistake,
                }
            }
            _ => mistake,
        }
    }

    /// `process where`, or nothing.
    fn header(&mut self) -> Parsed<()> {
        let (Kind::Name(category) | Kind::Text(category)) = &self.peek().kind else { return Ok(()) };
        let category = category.clone();
        let range = self.peek().range.clone();
        let next_is_where = matches!(&self.after(1).kind, Kind::Name(name) if name == "where");
        if next_is_where {
            self.at += 2;
            return match category.as_str() {
                "process" | "any" => Ok(()),
                _ => Err(Mistake::new(range, format!("this rule is about `{category}` events"))
                    .help("only the start of a process is judged: `process where ...`")),
            };
        }
        Ok(())
    }

    fn end(&mut self) -> Parsed<()> {
        match self.peek().kind {
            Kind::End => Ok(()),
            Kind::Symbol(
                Symbol::Equal
                | Symbol::NotEqual
                | Symbol::Less
                | Symbol::LessOrEqual
                | Symbol::Greater
                | Symbol::GreaterOrEqual,
            ) => Err(Mistake::new(self.peek().range.clone(), "comparisons do not chain")
                .help("join two comparisons with `and`")),
            _ => Err(self.unexpected("`and`, `or` or the end")),
        }
    }

    /// Runs `inner` one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= limits::DEPTH {
            let message = format!("nested deeper than {} levels", limits::DEPTH);
            return Err(Mistake::new(self.peek().range.clone(), message));
        }
        self.depth += 1;
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }

    fn condition(&mut self) -> Parsed {
        self.chain("or", What::Or, |parser| parser.chain("and", What::And, Self::negation))
    }

    fn chain(
        &mut self,
        word: &str,
        join: fn(Vec<Syntax>) -> What,
        mut part: impl FnMut(&mut Self) -> Parsed,
    ) -> Parsed {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.word(word) {
            parts.push(part(self)?);
        }
        Ok(match (parts.pop(), parts.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                parts.extend(last);
                let start = parts.first().map_or(0, |part| part.range.start);
                Syntax { range: start..self.so_far(), what: join(parts) }
            }
        })
    }

    fn negation(&mut self) -> Parsed {
        let start = self.peek().range.start;
        if self.word("not") {
            let inner = self.deeper(Self::negation)?;
            return Ok(Syntax { range: start..inner.range.end, what: What::Not(Box::new(inner)) });
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed {
        let left = self.sum()?;
        let order = match self.peek().kind {
            Kind::Symbol(Symbol::Equal) => Order::Equal,
            Kind::Symbol(Symbol::NotEqual) => Order::NotEqual,
            Kind::Symbol(Symbol::Less) => Order::Less,
            Kind::Symbol(Symbol::LessOrEqual) => Order::LessOrEqual,
            Kind::Symbol(Symbol::Greater) => Order::Greater,
            Kind::Symbol(Symbol::GreaterOrEqual) => Order::GreaterOrEqual,
            _ => return Ok(left),
        };
        self.at += 1;
        let right = self.sum()?;
        let range = left.range.start..right.range.end;
        Ok(Syntax { range, what: What::Compare(order, Box::new(left), Box::new(right)) })
    }

    fn sum(&mut self) -> Parsed {
        self.arithmetic(&[(Symbol::Plus, "add"), (Symbol::Minus, "subtract")], |parser| {
            let times =
                [(Symbol::Times, "multiply"), (Symbol::Divide, "divide"), (Symbol::Remainder, "modulo")];
            parser.arithmetic(&times, Self::signed)
        })
    }

    /// Left-associative operators of one precedence, as the functions that do the same.
    fn arithmetic(
        &mut self,
        operators: &[(Symbol, &str)],
        mut part: impl FnMut(&mut Self) -> Parsed,
    ) -> Parsed {
        let mut left = part(self)?;
        while let Some((_, name)) =
            operators.iter().find(|(symbol, _)| self.peek().kind == Kind::Symbol(*symbol))
        {
            self.sums += 1;
            if self.sums > limits::DEPTH {
                let message = format!("more than {} operators of arithmetic", limits::DEPTH);
                return Err(Mistake::new(self.peek().range.clone(), message));
            }
            self.at += 1;
            let right = part(self)?;
            let range = left.range.start..right.range.end;
            let call = What::Call { name: (*name).to_owned(), fold: false, arguments: vec![left, right] };
            left = Syntax { range, what: call };
        }
        Ok(left)
    }

    fn signed(&mut self) -> Parsed {
        let start = self.peek().range.start;
        if self.symbol(Symbol::Plus) {
            return self.deeper(Self::signed);
        }
        if !self.symbol(Symbol::Minus) {
            return self.predicate();
        }
        let inner = self.deeper(Self::signed)?;
        let range = start..inner.range.end;
        let what = match inner.what {
            What::Integer(number) => What::Integer(number.checked_neg().unwrap_or(i64::MAX)),
            What::Decimal(number) => What::Decimal(-number),
            other => {
                let zero = Syntax { range: range.clone(), what: What::Integer(0) };
                let inner = Syntax { range: inner.range, what: other };
                What::Call { name: "subtract".into(), fold: false, arguments: vec![zero, inner] }
            }
        };
        Ok(Syntax { range, what })
    }

    /// A value, and `in (...)`, `like (...)` and the like behind it.
    fn predicate(&mut self) -> Parsed {
        let left = self.value()?;
        let negated = self.is_word("not")
            && matches!(&self.after(1).kind, Kind::Name(name) if ["in", "like", "regex"].contains(&name.as_str()));
        self.at += usize::from(negated);
        let (operator, mut fold) = match &self.peek().kind {
            Kind::Symbol(Symbol::Colon) => (Member::Like, true),
            Kind::Name(name) if name == "in" => (Member::In, false),
            Kind::Name(name) if name == "like" => (Member::Like, false),
            Kind::Name(name) if name == "regex" => (Member::Regex, false),
            _ => return Ok(left),
        };
        let word = self.peek().range.clone();
        self.at += 1;
        if negated && operator != Member::In {
            return Err(Mistake::new(word, "`not` stands here only in `not in`")
                .help("put `not` in front of the whole comparison"));
        }
        if !fold && self.peek().range.start == word.end {
            fold = self.symbol(Symbol::Tilde);
        }
        let list = self.list(operator)?;
        let range = left.range.start..self.so_far();
        Ok(Syntax { range, what: What::Member { operator, fold, negated, left: Box::new(left), list } })
    }

    fn list(&mut self, operator: Member) -> Parsed<Vec<Syntax>> {
        if !self.symbol(Symbol::Open) {
            if operator == Member::In {
                return Err(self.unexpected("`(` and a list after `in`"));
            }
            return Ok(vec![self.deeper(Self::signed_constant)?]);
        }
        let mut list = Vec::new();
        loop {
            if list.len() >= limits::LIST {
                let message = format!("more than {} entries in one list", limits::LIST);
                return Err(Mistake::new(self.peek().range.clone(), message));
            }
            list.push(self.deeper(Self::signed_constant)?);
            if !self.symbol(Symbol::Comma) {
                break;
            }
        }
        self.expect(Symbol::Close, "after the list, or `,`")?;
        Ok(list)
    }

    fn signed_constant(&mut self) -> Parsed {
        match self.peek().kind {
            Kind::Text(_) | Kind::Integer(_) | Kind::Decimal(_) => self.value(),
            Kind::Symbol(Symbol::Minus | Symbol::Plus) => self.signed(),
            Kind::Name(_) => self.value(),
            Kind::Symbol(_) | Kind::End => Err(self.unexpected("a value to compare with")),
        }
    }

    fn value(&mut self) -> Parsed {
        let token = self.peek().clone();
        let one = |what: What| Ok(Syntax { range: token.range.clone(), what });
        match token.kind {
            Kind::Text(text) => {
                self.at += 1;
                if text.len() > limits::TEXT {
                    return Err(Mistake::new(
                        token.range,
                        format!("a text longer than {} bytes", limits::TEXT),
                    ));
                }
                one(What::Text(text))
            }
            Kind::Integer(number) => {
                self.at += 1;
                one(What::Integer(number))
            }
            Kind::Decimal(number) => {
                self.at += 1;
                one(What::Decimal(number))
            }
            Kind::Symbol(Symbol::Open) => {
                self.at += 1;
                let inner = self.deeper(Self::condition)?;
                self.expect(Symbol::Close, "to end what `(` began")?;
                Ok(inner)
            }
            Kind::Symbol(Symbol::Question) => {
                self.at += 1;
                let Kind::Name(name) = self.peek().kind.clone() else {
                    return Err(self.unexpected("a field's name after `?`"));
                };
                self.at += 1;
                Ok(Syntax {
                    range: token.range.start..self.so_far(),
                    what: What::Field { name, optional: true },
                })
            }
            Kind::Name(name) => self.named(name, token.range),
            Kind::Symbol(_) | Kind::End => Err(self.unexpected("a field, a value, a function or `(`")),
        }
    }

    fn named(&mut self, name: String, range: Range<usize>) -> Parsed {
        if ["and", "or", "in", "like", "regex", "where", "not"].contains(&name.as_str()) {
            return Err(self.unexpected("a field, a value, a function or `(`"));
        }
        self.at += 1;
        let fold = self.peek().kind == Kind::Symbol(Symbol::Tilde) && self.peek().range.start == range.end;
        let opens = self.after(usize::from(fold)).kind == Kind::Symbol(Symbol::Open);
        if opens {
            self.at += usize::from(fold) + 1;
            let arguments = self.arguments()?;
            return Ok(Syntax {
                range: range.start..self.so_far(),
                what: What::Call { name, fold, arguments },
            });
        }
        if matches!(&self.peek().kind, Kind::Name(of) if of == "of") {
            return Err(Mistake::new(range, format!("`{name} of [...]` is not supported"))
                .help("a rule judges one attempt by what is known of it"));
        }
        let what = match name.as_str() {
            "true" => What::Boolean(true),
            "false" => What::Boolean(false),
            "null" => What::Null,
            _ => What::Field { name, optional: false },
        };
        Ok(Syntax { range, what })
    }

    fn arguments(&mut self) -> Parsed<Vec<Syntax>> {
        let mut arguments = Vec::new();
        if self.symbol(Symbol::Close) {
            return Ok(arguments);
        }
        loop {
            if arguments.len() >= limits::LIST {
                return Err(Mistake::new(self.peek().range.clone(), "too many arguments"));
            }
            arguments.push(self.deeper(Self::condition)?);
            if !self.symbol(Symbol::Comma) {
                break;
            }
        }
        self.expect(Symbol::Close, "after the arguments, or `,`")?;
        Ok(arguments)
    }
}
