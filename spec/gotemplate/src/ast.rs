//! What a template is made of, and how its pieces are written in error texts.

use std::fmt;

use crate::lex::Number;

/// A word of a command. `pos` is the byte that error texts point to.
#[derive(Debug)]
pub(crate) enum Operand {
    Dot {
        pos: usize,
    },
    Nil {
        pos: usize,
    },
    Bool {
        pos: usize,
        value: bool,
    },
    Number {
        pos: usize,
        text: String,
        value: Number,
    },
    String {
        pos: usize,
        quoted: String,
        value: String,
    },
    Function {
        pos: usize,
        name: String,
    },
    /// `.A.B`; never empty.
    Field {
        pos: usize,
        names: Vec<String>,
    },
    /// `$x.A`; the name keeps its dollar.
    Variable {
        pos: usize,
        name: String,
        fields: Vec<String>,
    },
    /// `(pipeline).A.B`, `function.A`
    Chain {
        pos: usize,
        of: Box<Operand>,
        names: Vec<String>,
    },
    Pipeline(Box<Pipeline>),
}

impl Operand {
    pub(crate) fn pos(&self) -> usize {
        match self {
            Self::Dot { pos }
            | Self::Nil { pos }
            | Self::Bool { pos, .. }
            | Self::Number { pos, .. }
            | Self::String { pos, .. }
            | Self::Function { pos, .. }
            | Self::Field { pos, .. }
            | Self::Variable { pos, .. }
            | Self::Chain { pos, .. } => *pos,
            Self::Pipeline(pipeline) => pipeline.pos,
        }
    }
}

/// A function with its arguments, or a value alone. Never empty.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) pos: usize,
    pub(crate) words: Vec<Operand>,
}

/// Commands, each one's result the last argument of the next.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) pos: usize,
    /// `=` rather than `:=`.
    pub(crate) assigns: bool,
    pub(crate) variables: Vec<String>,
    pub(crate) commands: Vec<Command>,
}

/// Which keyword opened a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    If,
    With,
    Range,
}

/// A piece of a template, in the order of its text.
#[derive(Debug)]
pub(crate) enum Node {
    Text(String),
    Action(Pipeline),
    Block { control: Control, pipeline: Pipeline, then: Vec<Node>, otherwise: Option<Vec<Node>> },
    Template { pos: usize, name: String, argument: Option<Pipeline> },
    Break,
    Continue,
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dot { .. } => f.write_str("."),
            Self::Nil { .. } => f.write_str("nil"),
            Self::Bool { value, .. } => write!(f, "{value}"),
            Self::Number { text, .. } => f.write_str(text),
            Self::String { quoted, .. } => f.write_str(quoted),
            Self::Function { name, .. } => f.write_str(name),
            Self::Field { names, .. } => fields(f, names),
            Self::Variable { name, fields: names, .. } => {
                f.write_str(name)?;
                fields(f, names)
            }
            Self::Chain { of, names, .. } => {
                match &**of {
                    Self::Pipeline(pipeline) => write!(f, "({pipeline})")?,
                    other => write!(f, "{other}")?,
                }
                fields(f, names)
            }
            Self::Pipeline(pipeline) => write!(f, "{pipeline}"),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            match word {
                Operand::Pipeline(pipeline) => write!(f, "({pipeline})")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

fn fields(f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
    names.iter().try_for_each(|name| write!(f, ".{name}"))
}
