//! Template text to tokens: the first step of parsing.
//!
//! Trim markers are applied here, so the parser never sees them. A lexical error is a token
//! like any other and the last of its list: the parser reports it when it gets there, after
//! the errors of what stands before it.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    End,
    Text,
    LeftDelimiter,
    RightDelimiter,
    LeftParen,
    RightParen,
    Space,
    Pipe,
    Declare,
    Assign,
    Char,
    CharConstant,
    Number,
    String,
    RawString,
    Bool,
    Identifier,
    Field,
    Variable,
    Dot,
    Nil,
    Block,
    Break,
    Continue,
    Define,
    Else,
    EndKeyword,
    If,
    Range,
    Template,
    With,
}

/// A piece of the template text; `pos` counts bytes from its start, `line` from 1.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) pos: usize,
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Token {
    /// How error texts name the token.
    pub(crate) fn describe(&self) -> String {
        match self.kind {
            Kind::End => "EOF".into(),
            Kind::Error => self.text.clone(),
            Kind::Block
            | Kind::Break
            | Kind::Continue
            | Kind::Define
            | Kind::Else
            | Kind::EndKeyword
            | Kind::If
            | Kind::Range
            | Kind::Template
            | Kind::With
            | Kind::Nil
            | Kind::Dot => format!("<{}>", self.text),
            _ if self.text.chars().count() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                format!("{}...", crate::format::quote(&head))
            }
            _ => crate::format::quote(&self.text),
        }
    }
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";

/// Splits `text`; the last token is `End` or `Error`.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, pos: 0, start: 0, line: 1, parens: 0, tokens: Vec::new() };
    if let Err(message) = lexer.run() {
        lexer.tokens.push(Token {
            kind: Kind::Error,
            pos: lexer.start,
            line: lexer.line,
            text: message,
        });
    }
    lexer.tokens
}

struct Lexer<'t> {
    text: &'t str,
    pos: usize,
    start: usize,
    /// The line that `start` is on.
    line: usize,
    parens: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), String> {
        let mut trim_next = false;
        loop {
            let rest = &self.text[self.pos..];
            let (length, found) = match rest.find(LEFT) {
                Some(at) => (at, true),
                None => (rest.len(), false),
            };
            let trims = found && begins_with_trim(&rest[length + LEFT.len()..]);
            let mut piece = &rest[..length];
            if trim_next {
                let kept = piece.trim_start_matches(is_space);
                self.skip(piece.len() - kept.len());
                piece = kept;
            }
            let trimmed = if trims { piece.trim_end_matches(is_space) } else { piece };
            if !trimmed.is_empty() {
                self.pos = self.start + trimmed.len();
                self.emit(Kind::Text);
            }
            self.skip(piece.len() - trimmed.len());
            if !found {
                self.emit(Kind::End);
                return Ok(());
            }
            trim_next = self.action(trims)?;
        }
    }

    /// One `{{...}}`; says whether it asks to trim the text after it.
    fn action(&mut self, trims: bool) -> Result<bool, String> {
        let marker = if trims { 2 } else { 0 };
        if self.text[self.pos + LEFT.len() + marker..].starts_with("/*") {
            self.skip(LEFT.len() + marker);
            return self.comment();
        }
        self.pos += LEFT.len();
        self.emit(Kind::LeftDelimiter);
        self.skip(marker);
        self.parens = 0;
        loop {
            if let Some(trim) = self.at_right() {
                if self.parens > 0 {
                    return Err("unclosed left paren".into());
                }
                self.skip(if trim { 2 } else { 0 });
                self.pos += RIGHT.len();
                self.emit(Kind::RightDelimiter);
                return Ok(trim);
            }
            self.inside()?;
        }
    }

    /// Whether the closing delimiter is here, and with a trim marker.
    fn at_right(&self) -> Option<bool> {
        let rest = &self.text[self.pos..];
        let trims = rest.starts_with(is_space) && rest[1..].starts_with('-');
        if trims && rest[2..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn comment(&mut self) -> Result<bool, String> {
        let Some(end) = self.text[self.pos..].find("*/") else {
            return Err("unclosed comment".into());
        };
        self.skip(end + 2);
        match self.at_right() {
            Some(trim) => {
                self.skip(RIGHT.len() + if trim { 2 } else { 0 });
                Ok(trim)
            }
            None => Err("comment ends before closing delimiter".into()),
        }
    }

    fn inside(&mut self) -> Result<(), String> {
        let Some(first) = self.peek() else { return Err("unclosed action".into()) };
        match first {
            _ if is_space(first) => {
                while self.peek().is_some_and(is_space) && self.at_right().is_none() {
                    self.pos += 1;
                }
                self.emit(Kind::Space);
            }
            '=' => self.single(Kind::Assign),
            ':' => {
                if !self.text[self.pos..].starts_with(":=") {
                    return Err("expected :=".into());
                }
                self.pos += 2;
                self.emit(Kind::Declare);
            }
            '|' => self.single(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant")?,
            '`' => {
                let Some(end) = self.text[self.pos + 1..].find('`') else {
                    return Err("unterminated raw quoted string".into());
                };
                self.pos += end + 2;
                self.emit(Kind::RawString);
            }
            '$' => {
                self.pos += 1;
                self.word();
                self.terminated()?;
                self.emit(Kind::Variable);
            }
            '.' if !self.text[self.pos + 1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.pos += 1;
                let before = self.pos;
                self.word();
                self.terminated()?;
                self.emit(if self.pos == before { Kind::Dot } else { Kind::Field });
            }
            '.' | '+' | '-' | '0'..='9' => self.number()?,
            '(' => {
                self.parens += 1;
                self.single(Kind::LeftParen);
            }
            ')' => {
                if self.parens == 0 {
                    return Err("unexpected right paren".into());
                }
                self.parens -= 1;
                self.single(Kind::RightParen);
            }
            _ if is_word(first) => self.identifier()?,
            '!'..='~' => self.single(Kind::Char),
            other => return Err(format!("unrecognized character in action: {}", code(other))),
        }
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), String> {
        self.word();
        self.terminated()?;
        let kind = match &self.text[self.start..self.pos] {
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::EndKeyword,
            "if" => Kind::If,
            "range" => Kind::Range,
            "template" => Kind::Template,
            "with" => Kind::With,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    /// A number by its looks; the parser says whether it is one.
    fn number(&mut self) -> Result<(), String> {
        self.pos += self.text[self.pos..].starts_with(['+', '-']) as usize;
        let hex =
            self.text[self.pos..].starts_with("0x") || self.text[self.pos..].starts_with("0X");
        let mut before = '0';
        while let Some(c) = self.peek() {
            let exponent_sign = matches!(c, '+' | '-')
                && if hex { matches!(before, 'p' | 'P') } else { matches!(before, 'e' | 'E') };
            if !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || exponent_sign) {
                break;
            }
            before = c;
            self.pos += 1;
        }
        if self.peek().is_some_and(is_word) || self.pos == self.start {
            let end = self.pos + self.peek().map_or(0, char::len_utf8);
            return Err(self.bad_number(end));
        }
        if parse_number(&self.text[self.start..self.pos]).is_none() {
            return Err(self.bad_number(self.pos));
        }
        self.emit(Kind::Number);
        Ok(())
    }

    fn bad_number(&self, end: usize) -> String {
        format!("bad number syntax: {}", crate::format::quote(&self.text[self.start..end]))
    }

    fn quoted(&mut self, mark: char, kind: Kind, error: &str) -> Result<(), String> {
        self.pos += 1;
        loop {
            match self.peek() {
                None | Some('\n') => return Err(error.into()),
                Some('\\') => {
                    self.pos += 1;
                    match self.peek() {
                        None | Some('\n') => return Err(error.into()),
                        Some(c) => self.pos += c.len_utf8(),
                    }
                }
                Some(c) => {
                    self.pos += c.len_utf8();
                    if c == mark {
                        self.emit(kind);
                        return Ok(());
                    }
                }
            }
        }
    }

    fn word(&mut self) {
        while let Some(c) = self.peek().filter(|c| is_word(*c)) {
            self.pos += c.len_utf8();
        }
    }

    /// Refuses what may not follow a word directly, `.Foo-bar` say.
    fn terminated(&self) -> Result<(), String> {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | '=' | ')' | '(') => Ok(()),
            Some(c) if is_space(c) => Ok(()),
            Some(_) if self.text[self.pos..].starts_with(RIGHT) => Ok(()),
            Some(c) => Err(format!("bad character {}", code(c))),
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.pos..].chars().next()
    }

    fn single(&mut self, kind: Kind) {
        self.pos += 1;
        self.emit(kind);
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.text[self.start..self.pos].to_owned();
        let lines = newlines(&text);
        self.tokens.push(Token { kind, pos: self.start, line: self.line, text });
        self.line += lines;
        self.start = self.pos;
    }

    /// Leaves out `bytes` of the text from where the next token would start.
    fn skip(&mut self, bytes: usize) {
        self.pos = self.start + bytes;
        self.line += newlines(&self.text[self.start..self.pos]);
        self.start = self.pos;
    }
}

/// A number literal's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    /// Written as an integer, but beyond what an int holds.
    Overflow,
    Float(f64),
}

/// Go's number literals: decimal, 0x, 0o, 0b and old octal, underscores, floats.
pub(crate) fn parse_number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') && !lower.contains(['.', 'e']) => {
            (8, &lower[1..])
        }
        _ => (10, lower.as_str()),
    };
    if body.is_empty() || body.ends_with('_') || (radix == 10 && body.starts_with('_')) {
        return None;
    }
    let plain = body.replace('_', "");
    if plain.chars().all(|c| c.is_digit(radix)) && !plain.is_empty() {
        let Ok(value) = i128::from_str_radix(&plain, radix) else { return Some(Number::Overflow) };
        let value = if negative { -value } else { value };
        return Some(i64::try_from(value).map_or(Number::Overflow, Number::Int));
    }
    if radix != 10 || !plain.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if !plain.chars().all(|c| matches!(c, '0'..='9' | '.' | 'e' | '+' | '-')) {
        return None;
    }
    let value: f64 = plain.parse().ok()?;
    value.is_finite().then_some(Number::Float(if negative { -value } else { value }))
}

fn begins_with_trim(after: &str) -> bool {
    after.starts_with('-') && after[1..].starts_with(is_space)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|b| *b == b'\n').count()
}

/// `U+002D '-'`.
fn code(c: char) -> String {
    if c.is_control() {
        format!("U+{:04X}", u32::from(c))
    } else {
        format!("U+{:04X} '{c}'", u32::from(c))
    }
}
