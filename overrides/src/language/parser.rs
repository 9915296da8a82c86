//! Tokens to a tree, by precedence: `?:` binds least and to the right, then `or`, `and`, `not`, one comparison or `in`, `+ -`, `* /`, `- !`.
//!
//! Depth, nodes and runs of signs are counted before a node is made, so no input makes the tree or the stack large. A chain of `? :` is as
//! deep as its deepest part, however long it is. `not` takes a whole comparison (`not a == b`), `!` only what stands next to it.

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::language::lexer::{Token, tokens};
use crate::language::syntax::{Arithmetic, Ast, Comparison, Constant, Form, Operator};

/// Deepest nesting of brackets, signs, calls and conditions.
pub const MAX_DEPTH: usize = 32;
/// Most parts of an expression; a list counts as one, with what is tested.
pub const MAX_NODES: usize = 256;
/// Most signs (`-`, `!`, `not`) in a row.
pub const MAX_SIGNS: usize = 8;

const OR: u8 = 1;
const AND: u8 = 2;
const COMPARE: u8 = 4;
const SUM: u8 = 5;
const PRODUCT: u8 = 6;

/// The tree of an expression.
pub(crate) fn parse(source: &str) -> Result<Ast<'_>, Diagnostic> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, depth: 0, nodes: 0 };
    if parser.peek() == &Token::End {
        return Err(Diagnostic::error(Code::Syntax, parser.span(), "nothing is written here"));
    }
    let tree = parser.choice()?;
    match parser.peek() {
        Token::End => Ok(tree),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser<'s> {
    tokens: Vec<(Token<'s>, Span)>,
    at: usize,
    depth: usize,
    nodes: usize,
}

impl<'s> Parser<'s> {
    fn peek(&self) -> &Token<'s> {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    /// Place of the next token.
    fn span(&self) -> Span {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(Span::default(), |(_, span)| *span)
    }

    fn take(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Token::Mark(next) if *next == mark);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(next) if *next == word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, mark: &'static str) -> Result<(), Diagnostic> {
        if self.take(mark) { Ok(()) } else { Err(self.unexpected(&format!("`{mark}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> Diagnostic {
        let found = match self.peek() {
            Token::End => "the end".to_owned(),
            Token::Number(value, _) => format!("{value}"),
            Token::Text(text) => format!("{text:?}"),
            Token::Name(name) => format!("`{name}`"),
            Token::Mark(mark) => format!("`{mark}`"),
        };
        Diagnostic::error(Code::Syntax, self.span(), format!("{wanted} is needed here, not {found}"))
    }

    fn node(&mut self, span: Span, form: Form<'s>) -> Result<Ast<'s>, Diagnostic> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(
                Diagnostic::error(Code::Limit, span, format!("more than {MAX_NODES} parts")).help("a list in [ ] counts as one part")
            );
        }
        Ok(Ast { span, form })
    }

    /// One level deeper, for as long as `inside` runs.
    fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T, Diagnostic>) -> Result<T, Diagnostic> {
        if self.depth == MAX_DEPTH {
            return Err(Diagnostic::error(Code::Limit, self.span(), format!("nested more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// `a ? b : c ? d : e`, as `a ? b : (c ? d : e)`.
    fn choice(&mut self) -> Result<Ast<'s>, Diagnostic> {
        let mut decided = Vec::new();
        let mut last = self.binary(OR)?;
        while self.take("?") {
            let then = self.nested(Self::choice)?;
            if !self.take(":") {
                return Err(self.unexpected("`:` and the value otherwise"));
            }
            decided.push((last, then));
            last = self.binary(OR)?;
        }
        for (condition, then) in decided.into_iter().rev() {
            let span = condition.span.to(last.span);
            last = self.node(span, Form::If(Box::new(condition), Box::new(then), Box::new(last)))?;
        }
        Ok(last)
    }

    /// The operator that comes next and how much it binds.
    fn operator(&self) -> Option<(Operator, u8)> {
        Some(match self.peek() {
            Token::Name("or") | Token::Mark("||") => (Operator::Or, OR),
            Token::Name("and") | Token::Mark("&&") => (Operator::And, AND),
            Token::Mark(mark) => match *mark {
                "==" => (Operator::Compare(Comparison::Equal), COMPARE),
                "!=" => (Operator::Compare(Comparison::NotEqual), COMPARE),
                "<" => (Operator::Compare(Comparison::Below), COMPARE),
                "<=" => (Operator::Compare(Comparison::AtMost), COMPARE),
                ">" => (Operator::Compare(Comparison::Above), COMPARE),
                ">=" => (Operator::Compare(Comparison::AtLeast), COMPARE),
                "+" => (Operator::Arithmetic(Arithmetic::Add), SUM),
                "-" => (Operator::Arithmetic(Arithmetic::Subtract), SUM),
                "*" => (Operator::Arithmetic(Arithmetic::Multiply), PRODUCT),
                "/" => (Operator::Arithmetic(Arithmetic::Divide), PRODUCT),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Operands joined by operators that bind at least as much as `least`.
    fn binary(&mut self, least: u8) -> Result<Ast<'s>, Diagnostic> {
        let mut left = if least < COMPARE && self.take_word("not") { self.not(1)? } else { self.unary()? };
        let mut compared = false;
        loop {
            let before = self.at;
            let negated = self.take_word("not");
            if least <= COMPARE && self.take_word("in") {
                self.once(&mut compared, before)?;
                let (list, end) = self.list()?;
                left = self.node(left.span.to(end), Form::In(Box::new(left), list, negated))?;
                continue;
            }
            self.at = before;
            let Some((operator, binds)) = self.operator().filter(|(_, binds)| *binds >= least) else { return Ok(left) };
            if binds == COMPARE {
                self.once(&mut compared, before)?;
            }
            self.at += 1;
            let right = self.binary(binds + 1)?;
            left = self.node(left.span.to(right.span), Form::Binary(operator, Box::new(left), Box::new(right)))?;
        }
    }

    /// `a < b < c` means something else in every language, so it means nothing here.
    fn once(&self, compared: &mut bool, at: usize) -> Result<(), Diagnostic> {
        if std::mem::replace(compared, true) {
            let span = self.tokens.get(at).map_or(Span::default(), |(_, span)| *span);
            return Err(Diagnostic::error(Code::Syntax, span, "two comparisons in a row").help("join them: `a < b and b < c`"));
        }
        Ok(())
    }

    /// What follows a `not`: a comparison, or another `not`.
    fn not(&mut self, signs: usize) -> Result<Ast<'s>, Diagnostic> {
        let start = self.tokens.get(self.at.saturating_sub(1)).map_or(Span::default(), |(_, span)| *span);
        self.count_signs(signs)?;
        let inner = if self.take_word("not") { self.not(signs + 1)? } else { self.binary(COMPARE)? };
        self.node(start.to(inner.span), Form::Not(Box::new(inner)))
    }

    fn count_signs(&self, signs: usize) -> Result<(), Diagnostic> {
        if signs > MAX_SIGNS {
            return Err(Diagnostic::error(Code::Limit, self.span(), format!("more than {MAX_SIGNS} signs in a row")));
        }
        Ok(())
    }

    fn unary(&mut self) -> Result<Ast<'s>, Diagnostic> {
        let mut signs = Vec::new();
        loop {
            let span = self.span();
            let negative = self.take("-");
            if !negative && !self.take("!") {
                break;
            }
            signs.push((negative, span));
            self.count_signs(signs.len())?;
        }
        let mut tree = self.operand()?;
        for (negative, span) in signs.into_iter().rev() {
            let whole = span.to(tree.span);
            let form = if negative { Form::Negative(Box::new(tree)) } else { Form::Not(Box::new(tree)) };
            tree = self.node(whole, form)?;
        }
        Ok(tree)
    }

    fn operand(&mut self) -> Result<Ast<'s>, Diagnostic> {
        let span = self.span();
        let form = match self.peek().clone() {
            Token::Number(value, unit) => Form::Number(value, unit),
            Token::Text(text) => Form::Text(text),
            Token::Name(word @ ("and" | "or" | "in" | "not")) => {
                let found = self.unexpected("a value");
                return Err(if word == "not" { found.help("put it in brackets: `(not …)`, or write `!`") } else { found });
            }
            Token::Name(name) => {
                self.at += 1;
                if !self.take("(") {
                    return self.node(span, Form::Name(name));
                }
                let arguments = self.nested(Self::arguments)?;
                let end = self.tokens.get(self.at - 1).map_or(span, |(_, end)| *end);
                return self.node(span.to(end), Form::Call(name, arguments));
            }
            Token::Mark("(") => {
                self.at += 1;
                let inner = self.nested(Self::choice)?;
                let end = self.span();
                self.expect(")")?;
                return Ok(Ast { span: span.to(end), ..inner });
            }
            Token::Mark("[") => {
                return Err(Diagnostic::error(Code::Syntax, span, "a list stands only behind `in`").help("write `svcHost in ['a', 'b']`"));
            }
            Token::Mark(_) | Token::End => return Err(self.unexpected("a value")),
        };
        self.at += 1;
        self.node(span, form)
    }

    fn arguments(&mut self) -> Result<Vec<Ast<'s>>, Diagnostic> {
        let mut found = Vec::new();
        if self.take(")") {
            return Ok(found);
        }
        loop {
            found.push(self.choice()?);
            if !self.take(",") {
                self.expect(")")?;
                return Ok(found);
            }
        }
    }

    /// Constants in brackets, at least one; and where they end.
    fn list(&mut self) -> Result<(Vec<(Constant, Span)>, Span), Diagnostic> {
        self.expect("[")?;
        let mut found = Vec::new();
        loop {
            let start = self.span();
            let negative = self.take("-");
            let span = start.to(self.span());
            let constant = match self.peek().clone() {
                Token::Number(value, unit) => Constant::Number(if negative { -value } else { value }, unit),
                Token::Text(text) if !negative => Constant::Text(text),
                Token::Name(_) => return Err(self.unexpected("a constant").help("lists hold texts in quotes or numbers, no variables")),
                _ => return Err(self.unexpected("a constant")),
            };
            self.at += 1;
            found.push((constant, span));
            let end = self.span();
            if self.take("]") {
                return Ok((found, end));
            }
            self.expect(",")?;
        }
    }
}
