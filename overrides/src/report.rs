//! Diagnostics as people and tools read them: text with the line and a caret (in miette's manner), JSON, and GitHub annotations.
//!
//! Nothing of a file reaches a terminal or a log line as it is: control and bidirectional characters are shown as `·`, and annotations
//! are escaped as GitHub wants it. miette itself is not used: what it would add is colours and wrapping, for a graph of crates.

use crate::diagnostic::{Diagnostic, Span};
use serde::Serialize;
use std::fmt::Write;

/// Longest part of a line that is shown, in characters.
const MAX_SHOWN: usize = 160;

/// What was found in one file.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Path, as people know it.
    pub file: &'a str,
    /// The text that places refer to.
    pub source: &'a str,
    /// What was found.
    pub diagnostics: &'a [Diagnostic],
}

/// A place as editors count: from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
}

/// One diagnostic in JSON.
#[derive(Serialize)]
struct Entry<'a> {
    file: &'a str,
    start: Place,
    end: Place,
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

/// Where a byte of a text is.
#[must_use]
pub fn place(source: &str, byte: usize) -> Place {
    let before = source.get(..source.floor_char_boundary(byte)).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    Place { line: before.matches('\n').count() + 1, column }
}

impl Report<'_> {
    /// As text, one block per diagnostic, each followed by an empty line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for diagnostic in self.diagnostics {
            self.block(&mut out, diagnostic);
        }
        out
    }

    fn block(&self, out: &mut String, diagnostic: &Diagnostic) {
        let sign = if diagnostic.is_error() { '×' } else { '⚠' };
        let at = place(self.source, diagnostic.span.start);
        let number = at.line.to_string();
        let margin = " ".repeat(number.len());
        let (shown, before, marked) = self.line(diagnostic.span);
        let under = format!("{}{}", " ".repeat(before), "─".repeat(marked));
        let (code, message, file) = (diagnostic.code.name(), clean(&diagnostic.message), clean(self.file));
        let written = write!(
            out,
            "{sign} {message} [{code}]\n {margin} ╭─[{file}:{}:{}]\n {number} │ {shown}\n {margin} · {under}\n {margin} ╰────\n",
            at.line, at.column
        );
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        if let Some(help) = &diagnostic.help {
            out.push_str("  help: ");
            out.push_str(&clean(help));
            out.push('\n');
        }
        out.push('\n');
    }

    /// The first line of a span as it is shown; how many characters stand before the span, and how many to mark.
    fn line(&self, span: Span) -> (String, usize, usize) {
        let start = self.source.floor_char_boundary(span.start);
        let (head, tail) = self.source.split_at_checked(start).unwrap_or((self.source, ""));
        let before = head.rsplit('\n').next().unwrap_or_default();
        let behind = tail.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let marked = behind.char_indices().take_while(|(at, _)| start + at < span.end).count().max(1);
        // Of a long line, what lies around the place.
        let skipped = before.chars().count().saturating_sub(MAX_SHOWN / 2);
        let before: String = before.chars().skip(skipped).collect();
        let behind: String = behind.chars().take(MAX_SHOWN / 2).collect();
        let width = before.chars().count();
        (clean(&format!("{before}{behind}")), width, marked.min(MAX_SHOWN / 2))
    }

    /// As JSON: an array of objects with `file`, `start`, `end`, `severity`, `code`, `message` and perhaps `help`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let entry = |d: &Diagnostic| {
            let (start, end) = (place(self.source, d.span.start), place(self.source, d.span.end));
            let help = d.help.as_deref();
            let entry = Entry { file: self.file, start, end, severity: d.severity.name(), code: d.code.name(), message: &d.message, help };
            serde_json::to_value(entry).unwrap_or_default()
        };
        self.diagnostics.iter().map(entry).collect()
    }

    /// As GitHub reads annotations from the output of a workflow: one line each.
    #[must_use]
    pub fn to_github(&self) -> String {
        let mut out = String::new();
        for d in self.diagnostics {
            let (start, end) = (place(self.source, d.span.start), place(self.source, d.span.end));
            // GitHub takes an end column only on the line of the start.
            let columns = if start.line == end.line { format!(",endColumn={}", end.column) } else { String::new() };
            let help = d.help.as_deref().map_or(String::new(), |help| format!("; {help}"));
            let (severity, file, title) = (d.severity.name(), property(self.file), property(d.code.name()));
            let place = format!("line={},endLine={},col={}{columns}", start.line, end.line, start.column);
            out.push_str(&format!("::{severity} file={file},{place},title={title}::{}\n", data(&format!("{}{help}", d.message))));
        }
        out
    }
}

/// For a terminal: no character that moves, hides or reorders others.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if is_unsafe(c) {
                '·'
            } else {
                c
            }
        })
        .collect()
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;

    const SOURCE: &str = "owner: é\nhealth: \"availabilty > 1 ? 0 : 3\"\n";

    fn found() -> Diagnostic {
        Diagnostic::error(Code::UnknownName, Span { start: 19, end: 30 }, "unknown name `availabilty`")
            .suggest("availabilty", ["availability"])
    }

    fn report(source: &'static str, found: &[Diagnostic]) -> (String, String, String) {
        let report = Report { file: "overrides/shop/cart.yaml", source, diagnostics: found };
        (report.to_text(), report.to_json().to_string(), report.to_github())
    }

    #[test]
    fn the_same_finding_is_told_to_people_tools_and_github() {
        let (text, json, github) = report(SOURCE, &[found()]);
        let expected = "× unknown name `availabilty` [unknown-name]\n   ╭─[overrides/shop/cart.yaml:2:10]\n 2 │ health: \"availabilty > 1 ? 0 : 3\"\n   \
                        ·          ───────────\n   ╰────\n  help: did you mean `availability`?\n\n";
        assert_eq!(text, expected);
        assert_eq!(
            json,
            r#"[{"code":"unknown-name","end":{"column":21,"line":2},"file":"overrides/shop/cart.yaml","help":"did you mean `availability`?","message":"unknown name `availabilty`","severity":"error","start":{"column":10,"line":2}}]"#
        );
        assert_eq!(
            github,
            "::error file=overrides/shop/cart.yaml,line=2,endLine=2,col=10,endColumn=21,title=unknown-name::unknown name `availabilty`; did you mean \
             `availability`?\n"
        );
    }

    #[test]
    fn what_a_file_holds_cannot_steer_a_terminal_or_a_workflow() {
        let evil = Diagnostic::warning(Code::Token, Span { start: 0, end: 1 }, "a\n::error::b \u{1b}[31m\u{202e} 100%");
        let (text, _, github) = report("\u{1b}\u{202e}\tx\n", &[evil]);
        assert!(!text.contains(['\u{1b}', '\u{202e}']) && text.contains("│ ·· x"), "{text:?}");
        assert_eq!(github.lines().count(), 1, "{github}");
        assert!(github.contains("a%0A::error::b") && github.ends_with("100%25\n"));
    }

    #[test]
    fn every_place_can_be_shown() {
        let long = "x".repeat(1000);
        for source in ["", "a", "é\r\né", &long] {
            for start in 0..=source.len() + 2 {
                let found = Diagnostic::error(Code::Syntax, Span { start, end: start + 3 }, "m");
                let report = Report { file: "f", source, diagnostics: &[found] };
                assert!(report.to_text().lines().all(|line| line.chars().count() < 200));
                assert!(report.to_json()[0]["start"]["line"].as_u64() >= Some(1));
                assert!(report.to_github().starts_with("::error file=f,line="));
            }
        }
        assert_eq!(place("a\nbé\nc", 5), Place { line: 2, column: 3 });
    }
}
