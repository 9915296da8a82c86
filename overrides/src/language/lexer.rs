//! Text to tokens, each with its place. Knows nothing of what they mean together.
//!
//! At most `MAX_TOKENS` are made of at most `MAX_SOURCE` bytes, so what comes later is bounded whatever the input is.

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::language::names::Unit;

/// Most bytes of an expression.
pub const MAX_SOURCE: usize = 4 * 1024;
/// Most tokens of an expression.
pub const MAX_TOKENS: usize = 512;
/// Most bytes of a text: no text of an event is longer, so a longer one equals none.
pub const MAX_TEXT: usize = 256;
/// 2^53: from here on, not every whole number is a 64-bit float.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'s> {
    /// `60`, `99.5%`, `250ms`: the value in the unit's base, ms for durations.
    Number(f64, Unit),
    /// `'…'` or `"…"`, without quotes and escapes.
    Text(Box<str>),
    /// A variable, a function, or one of the words `and or not in`.
    Name(&'s str),
    /// An operator or bracket.
    Mark(&'static str),
    /// What follows the last one.
    End,
}

/// Longer ones first, so that `<=` is not `<` and `=`.
const MARKS: [&str; 20] = ["||", "&&", "==", "!=", "<=", ">=", "?", ":", "!", "<", ">", "+", "-", "*", "/", "(", ")", "[", "]", ","];

/// All tokens, the last of them `End`.
pub(crate) fn tokens(source: &str) -> Result<Vec<(Token<'_>, Span)>, Diagnostic> {
    if source.len() > MAX_SOURCE {
        let span = Span { start: 0, end: source.len() };
        return Err(Diagnostic::error(
            Code::Limit,
            span,
            format!("expression of {} bytes; at most {MAX_SOURCE} are allowed", source.len()),
        ));
    }
    let mut found = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let start = source.len() - rest.len();
        let (token, length) = match first {
            '0'..='9' => number(rest, start)?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = name_length(rest);
                (Token::Name(rest.get(..length).unwrap_or_default()), length)
            }
            '\'' | '"' => text(rest, start, first)?,
            _ => match MARKS.into_iter().find(|mark| rest.starts_with(mark)) {
                Some(mark) => (Token::Mark(mark), mark.len()),
                None => return Err(no_token(first, start)),
            },
        };
        if found.len() == MAX_TOKENS {
            let span = Span { start, end: source.len() };
            return Err(Diagnostic::error(Code::Limit, span, format!("more than {MAX_TOKENS} words and signs")));
        }
        found.push((token, Span { start, end: start + length }));
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    found.push((Token::End, Span { start: source.trim_end().len(), end: source.trim_end().len() }));
    Ok(found)
}

fn name_length(rest: &str) -> usize {
    rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

fn no_token(sign: char, start: usize) -> Diagnostic {
    let span = Span { start, end: start + sign.len_utf8() };
    let found = Diagnostic::error(Code::Token, span, format!("`{}` has no meaning here", sign.escape_debug()));
    match sign {
        '=' => found.help("to compare, write `==`; nothing can be assigned"),
        ';' => found.help("an expression is one value; `? :` chooses between values"),
        '&' => found.help("write `&&` or `and`"),
        '|' => found.help("write `||` or `or`"),
        '‘' | '’' | '“' | '”' | '`' => found.help("texts stand in straight quotes, '…' or \"…\""),
        '%' => found.help("percent stands right behind a number: `99.5%`; there is no remainder"),
        '≥' => found.help("write `>=`"),
        '≤' => found.help("write `<=`"),
        '≠' => found.help("write `!=`"),
        '.' => found.help("a fraction starts with a digit: `0.5`"),
        '{' | '}' => found.help("groups stand in ( ), lists in [ ]"),
        _ => found,
    }
}

/// Digits, an optional fraction and exponent, and an optional unit.
fn number(rest: &str, start: usize) -> Result<(Token<'_>, usize), Diagnostic> {
    let digits = |from: usize| rest.bytes().skip(from).take_while(u8::is_ascii_digit).count();
    let mut length = digits(0);
    if rest.as_bytes().get(length) == Some(&b'.') && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    let behind = rest.get(length..).unwrap_or_default();
    if let Some(power) = behind.strip_prefix(['e', 'E']) {
        let sign = usize::from(power.starts_with(['+', '-']));
        if digits(length + 1 + sign) > 0 {
            length += 1 + sign + digits(length + 1 + sign);
        }
    }
    let (value, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
    let written = if behind.starts_with('%') { 1 } else { name_length(behind) };
    let span = Span { start, end: start + length + written };
    let unit = behind.get(..written).unwrap_or_default();
    let Ok(value) = value.parse::<f64>() else {
        return Err(Diagnostic::error(Code::Token, span, "not a number"));
    };
    let (factor, unit) = unit_of(unit).ok_or_else(|| {
        Diagnostic::error(Code::Token, span, format!("`{unit}` is no unit")).help("units are % us ms s m h, right behind the number")
    })?;
    let value = value * factor;
    if !value.is_finite() || value >= MAX_WHOLE {
        let found = Diagnostic::error(Code::Token, span, "number of 2^53 or more, where not every whole number exists");
        return Err(found.help("compare long ids as texts: '9007199254740993'"));
    }
    Ok((Token::Number(value, unit), length + written))
}

/// By what a number with this unit is multiplied, and what it is then.
pub(crate) fn unit_of(written: &str) -> Option<(f64, Unit)> {
    Some(match written {
        "" => (1.0, Unit::Plain),
        "%" => (1.0, Unit::Percent),
        "us" => (0.001, Unit::Millis),
        "ms" => (1.0, Unit::Millis),
        "s" => (1_000.0, Unit::Millis),
        "m" => (60_000.0, Unit::Millis),
        "h" => (3_600_000.0, Unit::Millis),
        _ => return None,
    })
}

/// A quoted text; a backslash stands before a quote or another backslash, and nothing else.
fn text(rest: &str, start: usize, quote: char) -> Result<(Token<'_>, usize), Diagnostic> {
    let mut value = String::new();
    let mut signs = rest.char_indices().skip(1);
    while let Some((at, sign)) = signs.next() {
        let taken = match sign {
            _ if sign == quote => {
                let length = at + 1;
                if value.len() > MAX_TEXT {
                    let span = Span { start, end: start + length };
                    return Err(Diagnostic::error(
                        Code::Limit,
                        span,
                        format!("text of more than {MAX_TEXT} bytes, which no text can equal"),
                    ));
                }
                return Ok((Token::Text(value.into()), length));
            }
            '\\' => match signs.next() {
                Some((_, escaped @ ('\\' | '\'' | '"'))) => escaped,
                _ => {
                    let span = Span { start: start + at, end: start + at + 1 };
                    return Err(Diagnostic::error(Code::Token, span, "a backslash stands only before a quote or a backslash"));
                }
            },
            other => other,
        };
        value.push(taken);
    }
    let span = Span { start, end: start + rest.len() };
    Err(Diagnostic::error(Code::Token, span, "text without an end").help(format!("close it with {quote}")))
}
