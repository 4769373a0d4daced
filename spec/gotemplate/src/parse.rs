//! Tokens to nodes. Every name is checked here: functions and variables that do not exist
//! are errors of parsing, as Go has it.

use std::collections::BTreeMap;

use crate::ast::{Command, Control, Node, Operand, Pipeline};
use crate::functions;
use crate::lex::{self, Kind, Token};
use crate::{MAX_NESTING, TemplateError};

/// The templates of a text, by name; the text itself is the one named "".
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Vec<Node>>, TemplateError> {
    let mut parser = Parser {
        tokens: lex::tokens(text),
        next: 0,
        variables: vec!["$".into()],
        ranges: 0,
        depth: 0,
        action_line: 0,
        templates: BTreeMap::new(),
    };
    parser.top().map_err(|(line, message)| TemplateError::Parse { line, message })?;
    Ok(parser.templates)
}

type Parsed<T> = Result<T, (usize, String)>;

/// How a list of nodes came to its end.
enum Closing {
    End,
    Else,
}

impl Closing {
    fn text(&self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

enum Item {
    Node(Node),
    Closing(Closing),
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    variables: Vec<String>,
    ranges: usize,
    depth: usize,
    /// Where the action being read began; 0 outside of actions.
    action_line: usize,
    templates: BTreeMap<String, Vec<Node>>,
}

impl Parser {
    fn top(&mut self) -> Parsed<()> {
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::End {
            if self.peek().kind == Kind::LeftDelimiter {
                let mark = self.next;
                self.take();
                if self.take_significant().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.next = mark;
            }
            match self.item()? {
                Item::Node(node) => nodes.push(node),
                Item::Closing(closing) => {
                    return self.fail(format!("unexpected {}", closing.text()));
                }
            }
        }
        self.add(String::new(), nodes);
        Ok(())
    }

    fn definition(&mut self) -> Parsed<()> {
        let name = self.name("define clause")?;
        self.expect(Kind::RightDelimiter, "define clause")?;
        self.separate(name, "define clause")
    }

    /// The body of a define or block: variables of outside are not seen in it.
    fn separate(&mut self, name: String, context: &str) -> Parsed<()> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, closing) = self.list()?;
        if let Closing::Else = closing {
            return self.fail(format!("unexpected {} in {context}", closing.text()));
        }
        self.variables = variables;
        self.ranges = ranges;
        self.add(name, nodes);
        Ok(())
    }

    /// A later definition replaces an earlier one unless it holds nothing.
    fn add(&mut self, name: String, nodes: Vec<Node>) {
        let empty = nodes.iter().all(|node| match node {
            Node::Text(text) => text.trim().is_empty(),
            _ => false,
        });
        if !empty || !self.templates.contains_key(&name) {
            self.templates.insert(name, nodes);
        }
    }

    fn list(&mut self) -> Parsed<(Vec<Node>, Closing)> {
        self.deeper()?;
        let mut nodes = Vec::new();
        while self.peek_significant().kind != Kind::End {
            match self.item()? {
                Item::Node(node) => nodes.push(node),
                Item::Closing(closing) => {
                    self.depth -= 1;
                    return Ok((nodes, closing));
                }
            }
        }
        self.fail("unexpected EOF".into())
    }

    fn item(&mut self) -> Parsed<Item> {
        let token = self.take_significant();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(token.text))),
            Kind::LeftDelimiter => {
                self.action_line = token.line;
                let item = self.action();
                self.action_line = 0;
                item
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let token = self.take_significant();
        let node = match token.kind {
            Kind::Block => self.block()?,
            Kind::Break | Kind::Continue => return self.leave(&token),
            Kind::Else => return self.otherwise(),
            Kind::EndKeyword => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Item::Closing(Closing::End));
            }
            Kind::If => self.control(Control::If)?,
            Kind::Range => self.control(Control::Range)?,
            Kind::With => self.control(Control::With)?,
            Kind::Template => {
                let pos = token.pos;
                let name = self.name("template clause")?;
                let argument = if self.peek_significant().kind == Kind::RightDelimiter {
                    self.take_significant();
                    None
                } else {
                    Some(self.pipeline("template clause", Kind::RightDelimiter)?)
                };
                Node::Template { pos, name, argument }
            }
            _ => {
                self.next -= 1;
                Node::Action(self.pipeline("command", Kind::RightDelimiter)?)
            }
        };
        Ok(Item::Node(node))
    }

    fn leave(&mut self, token: &Token) -> Parsed<Item> {
        let after = self.take_significant();
        if after.kind != Kind::RightDelimiter {
            return self.unexpected(&after, &format!("{{{{{}}}}}", token.text));
        }
        if self.ranges == 0 {
            return self.fail(format!("{{{{{}}}}} outside {{{{range}}}}", token.text));
        }
        Ok(Item::Node(if token.kind == Kind::Break { Node::Break } else { Node::Continue }))
    }

    fn otherwise(&mut self) -> Parsed<Item> {
        if !matches!(self.peek_significant().kind, Kind::If | Kind::With) {
            self.expect(Kind::RightDelimiter, "else")?;
        }
        Ok(Item::Closing(Closing::Else))
    }

    fn control(&mut self, control: Control) -> Parsed<Node> {
        let context = match control {
            Control::If => "if",
            Control::With => "with",
            Control::Range => "range",
        };
        let scope = self.variables.len();
        let pipeline = self.pipeline(context, Kind::RightDelimiter)?;
        let in_range = usize::from(control == Control::Range);
        self.ranges += in_range;
        let (then, closing) = self.list()?;
        self.ranges -= in_range;
        let otherwise = match closing {
            Closing::End => None,
            Closing::Else => Some(self.else_list(control)?),
        };
        self.variables.truncate(scope);
        Ok(Node::Block { control, pipeline, then, otherwise })
    }

    fn else_list(&mut self, control: Control) -> Parsed<Vec<Node>> {
        let chained = match self.peek_significant().kind {
            Kind::If if control == Control::If => Some(Control::If),
            Kind::With if control == Control::With => Some(Control::With),
            _ => None,
        };
        if let Some(control) = chained {
            // `{{else if}}` shares the `{{end}}` of the first `{{if}}`.
            self.take_significant();
            self.deeper()?;
            let node = self.control(control)?;
            self.depth -= 1;
            return Ok(vec![node]);
        }
        let (nodes, closing) = self.list()?;
        match closing {
            Closing::End => Ok(nodes),
            Closing::Else => self.fail(format!("expected end; found {}", closing.text())),
        }
    }

    fn block(&mut self) -> Parsed<Node> {
        let pos = self.peek_significant().pos;
        let name = self.name("block clause")?;
        let argument = self.pipeline("block clause", Kind::RightDelimiter)?;
        self.separate(name.clone(), "block clause")?;
        Ok(Node::Template { pos, name, argument: Some(argument) })
    }

    fn name(&mut self, context: &str) -> Parsed<String> {
        let token = self.take_significant();
        match token.kind {
            Kind::String | Kind::RawString => self.string(&token),
            _ => self.unexpected(&token, context),
        }
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipeline> {
        let pos = self.peek_significant().pos;
        let mut pipeline =
            Pipeline { pos, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipeline, context)?;
        loop {
            let token = self.take_significant();
            match token.kind {
                kind if kind == end => {
                    self.check(&pipeline, context)?;
                    return Ok(pipeline);
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.next -= 1;
                    let command = self.command()?;
                    pipeline.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
    }

    fn declarations(&mut self, pipeline: &mut Pipeline, context: &str) -> Parsed<()> {
        while self.peek_significant().kind == Kind::Variable {
            let mark = self.next;
            let name = self.take_significant().text;
            let sign = self.peek_significant().clone();
            match sign.kind {
                Kind::Assign | Kind::Declare => {
                    self.take_significant();
                    pipeline.assigns = sign.kind == Kind::Assign;
                    pipeline.variables.push(name);
                    for name in &pipeline.variables {
                        if !pipeline.assigns {
                            self.variables.push(name.clone());
                        } else if !self.variables.contains(name) {
                            let text = format!("undefined variable {}", crate::format::quote(name));
                            return self.fail(text);
                        }
                    }
                    return Ok(());
                }
                Kind::Char if sign.text == "," => {
                    self.take_significant();
                    pipeline.variables.push(name);
                    if context != "range" || pipeline.variables.len() > 1 {
                        return self.fail(format!("too many declarations in {context}"));
                    }
                    if self.peek_significant().kind != Kind::Variable {
                        return self.fail("range can only initialize variables".into());
                    }
                }
                _ if pipeline.variables.is_empty() => {
                    self.next = mark;
                    return Ok(());
                }
                _ => return self.unexpected(&sign, context),
            }
        }
        Ok(())
    }

    fn check(&mut self, pipeline: &Pipeline, context: &str) -> Parsed<()> {
        if pipeline.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (index, command) in pipeline.commands.iter().enumerate().skip(1) {
            match command.words[0] {
                Operand::Bool { .. }
                | Operand::Dot { .. }
                | Operand::Nil { .. }
                | Operand::Number { .. }
                | Operand::String { .. } => {
                    let stage = index + 1;
                    return self.fail(format!("non executable command in pipeline stage {stage}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let pos = self.peek_significant().pos;
        let mut words = Vec::new();
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                words.push(operand);
            }
            let token = self.take();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelimiter | Kind::RightParen => self.next -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if words.is_empty() {
            return self.fail("empty command".into());
        }
        Ok(Command { pos, words })
    }

    /// A term with the fields that follow it directly.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let pos = self.peek().pos;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.take().text[1..].to_owned());
        }
        Ok(Some(match term {
            Operand::Field { names: mut first, .. } => {
                first.append(&mut names);
                Operand::Field { pos, names: first }
            }
            Operand::Variable { name, .. } => Operand::Variable { pos, name, fields: names },
            Operand::Bool { .. }
            | Operand::String { .. }
            | Operand::Number { .. }
            | Operand::Nil { .. }
            | Operand::Dot { .. } => {
                let text = crate::format::quote(&term.to_string());
                return self.fail(format!("unexpected . after term {text}"));
            }
            other => Operand::Chain { pos, of: Box::new(other), names },
        }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.take_significant();
        let pos = token.pos;
        Ok(Some(match token.kind {
            Kind::Identifier => {
                if !functions::exists(&token.text) {
                    let name = crate::format::quote(&token.text);
                    return self.fail(format!("function {name} not defined"));
                }
                Operand::Function { pos, name: token.text }
            }
            Kind::Dot => Operand::Dot { pos },
            Kind::Nil => Operand::Nil { pos },
            Kind::Variable => {
                if !self.variables.contains(&token.text) {
                    let name = crate::format::quote(&token.text);
                    return self.fail(format!("undefined variable {name}"));
                }
                Operand::Variable { pos, name: token.text, fields: Vec::new() }
            }
            Kind::Field => Operand::Field { pos, names: vec![token.text[1..].to_owned()] },
            Kind::Bool => Operand::Bool { pos, value: token.text == "true" },
            Kind::Number => match lex::parse_number(&token.text) {
                Some(value) => Operand::Number { pos, text: token.text, value },
                None => {
                    let text = crate::format::quote(&token.text);
                    return self.fail(format!("illegal number syntax: {text}"));
                }
            },
            Kind::CharConstant => match crate::format::unquote(&token.text) {
                Some(text) if text.chars().count() == 1 => {
                    let value = text.chars().next().map_or(0, u32::from);
                    let value = lex::Number::Int(i64::from(value));
                    Operand::Number { pos, text: token.text, value }
                }
                _ => return self.fail(format!("malformed character constant: {}", token.text)),
            },
            Kind::String | Kind::RawString => {
                let value = self.string(&token)?;
                Operand::String { pos, quoted: token.text, value }
            }
            Kind::LeftParen => {
                self.deeper()?;
                let pipeline = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                Operand::Pipeline(Box::new(pipeline))
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        }))
    }

    fn string(&mut self, token: &Token) -> Parsed<String> {
        match crate::format::unquote(&token.text) {
            Some(text) => Ok(text),
            None => self.fail("invalid syntax".into()),
        }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return self.fail("max expression depth exceeded".into());
        }
        Ok(())
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.take_significant();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return Err((token.line, format!("unexpected {} in {context}", token.describe())));
        }
        let mut message = token.text.clone();
        if self.action_line != 0 && self.action_line != token.line {
            message += &format!(" in action started at :{}", self.action_line);
        }
        Err((token.line, message))
    }

    fn fail<T>(&self, message: String) -> Parsed<T> {
        let last = self.next.saturating_sub(1).min(self.tokens.len() - 1);
        Err((self.tokens[last].line, message))
    }

    /// The token that comes next. The list's last token comes again and again.
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = self.next.min(self.tokens.len() - 1) + 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }

    fn peek_significant(&self) -> &Token {
        let mut at = self.next.min(self.tokens.len() - 1);
        while self.tokens[at].kind == Kind::Space && at + 1 < self.tokens.len() {
            at += 1;
        }
        &self.tokens[at]
    }

    fn take_significant(&mut self) -> Token {
        self.skip_space();
        self.take()
    }
}
