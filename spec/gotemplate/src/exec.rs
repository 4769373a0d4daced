//! Walks the nodes with a value and writes the text.

use std::fmt;

use serde_json::Value as Json;

use crate::ast::{Command, Control, Node, Operand, Pipeline};
use crate::functions::{self, Function, Param};
use crate::lex::Number;
use crate::value::{self, Shape, Value};
use crate::{MAX_NESTING, MAX_OUTPUT_BYTES, MAX_STEPS, Missing, Options, Template, TemplateError};

/// Runs the template named "".
pub(crate) fn execute(template: &Template, data: &Json, options: &Options<'_>) -> Result<String> {
    let shape = match options.missing {
        Missing::NoValue => Shape::Any,
        Missing::NoEntry { .. } | Missing::NoField { .. } => Shape::Struct,
    };
    let root = Value::Data(data, shape);
    let mut run = Run {
        template,
        options,
        name: "",
        out: String::new(),
        steps: 0,
        depth: 0,
        variables: vec![],
    };
    run.variables.push(("$", root.clone()));
    run.list(template.nodes(""), &root)?;
    Ok(run.out)
}

type Result<T> = std::result::Result<T, TemplateError>;

/// What goes on after a node.
#[derive(PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Run<'t, 'd> {
    template: &'t Template,
    options: &'t Options<'t>,
    /// The template being executed, for error texts.
    name: &'t str,
    out: String,
    steps: usize,
    depth: usize,
    variables: Vec<(&'t str, Value<'d>)>,
}

impl<'t, 'd> Run<'t, 'd> {
    fn list(&mut self, nodes: &'t [Node], dot: &Value<'d>) -> Result<Flow> {
        for node in nodes {
            match self.node(node, dot)? {
                Flow::Next => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &'t Node, dot: &Value<'d>) -> Result<Flow> {
        match node {
            Node::Text(text) => {
                self.out.push_str(text);
                self.bounded(0, "")?;
            }
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    value.print(&mut self.out);
                }
                self.bounded(pipeline.pos, pipeline)?;
            }
            Node::Block { control, pipeline, then, otherwise } => {
                let scope = self.variables.len();
                let otherwise = otherwise.as_deref().unwrap_or(&[]);
                let flow = match control {
                    Control::Range => self.range(pipeline, then, otherwise, dot)?,
                    Control::If | Control::With => {
                        let value = self.pipeline(pipeline, dot)?;
                        match (value.is_true(), control) {
                            (false, _) => self.list(otherwise, dot)?,
                            (true, Control::With) => self.list(then, &value)?,
                            (true, _) => self.list(then, dot)?,
                        }
                    }
                };
                self.variables.truncate(scope);
                return Ok(flow);
            }
            Node::Template { pos, name, argument } => {
                self.call_template(*pos, name, argument.as_ref(), dot)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn call_template(
        &mut self,
        pos: usize,
        name: &'t str,
        argument: Option<&'t Pipeline>,
        dot: &Value<'d>,
    ) -> Result<()> {
        let context = format!("{{{{template {}}}}}", crate::format::quote(name));
        let Some((name, nodes)) = self.template.find(name) else {
            let text = format!("template {} not defined", crate::format::quote(name));
            return self.fail(pos, &context, text);
        };
        let dot = match argument {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Absent,
        };
        if self.depth == MAX_NESTING {
            let text = format!("exceeded maximum template depth ({MAX_NESTING})");
            return self.fail(pos, &context, text);
        }
        self.depth += 1;
        let caller = std::mem::replace(&mut self.name, name);
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        self.list(nodes, &dot)?;
        self.variables = variables;
        self.name = caller;
        self.depth -= 1;
        Ok(())
    }

    fn range(
        &mut self,
        pipeline: &'t Pipeline,
        then: &'t [Node],
        otherwise: &'t [Node],
        dot: &Value<'d>,
    ) -> Result<Flow> {
        let value = self.evaluate(pipeline, dot)?;
        let items: Box<dyn Iterator<Item = (Value<'d>, Value<'d>)>> = match value.json() {
            None | Some(Json::Null) => Box::new(std::iter::empty()),
            Some(Json::Number(number)) if number.is_i64() => {
                let count = number.as_i64().unwrap_or(0);
                Box::new((0..count).map(|at| (Value::made(at), Value::made(at))))
            }
            Some(Json::Array(items)) => {
                let (value, length) = (value.clone(), items.len());
                Box::new((0..length).map(move |at| {
                    let part = value.part(value.shape(), |json| json.get(at));
                    (Value::made(at), part.unwrap_or(Value::Absent))
                }))
            }
            Some(Json::Object(members)) => {
                let keys: Vec<String> =
                    value::sorted(members).into_iter().map(|(key, _)| key.clone()).collect();
                let value = value.clone();
                Box::new(keys.into_iter().map(move |key| {
                    let part = value.part(value.shape(), |json| json.get(key.as_str()));
                    (Value::made(key), part.unwrap_or(Value::Absent))
                }))
            }
            Some(other) => {
                let mut text = "range can't iterate over ".to_owned();
                value::print(other, &mut text);
                return self.fail(pipeline.pos, pipeline, text);
            }
        };
        let scope = self.variables.len();
        let mut any = false;
        for (key, item) in items {
            any = true;
            self.bounded(pipeline.pos, pipeline)?;
            match (pipeline.variables.as_slice(), pipeline.assigns) {
                ([one], false) => self.variables.push((one, item.clone())),
                ([one], true) => self.assign(one, item.clone()),
                ([first, second], false) => {
                    self.variables.push((first, key));
                    self.variables.push((second, item.clone()));
                }
                ([first, second], true) => {
                    self.assign(first, key);
                    self.assign(second, item.clone());
                }
                _ => {}
            }
            let flow = self.list(then, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        if any { Ok(Flow::Next) } else { self.list(otherwise, dot) }
    }

    /// The pipeline's value; its variables are set.
    fn pipeline(&mut self, pipeline: &'t Pipeline, dot: &Value<'d>) -> Result<Value<'d>> {
        let value = self.evaluate(pipeline, dot)?;
        for name in &pipeline.variables {
            if pipeline.assigns {
                self.assign(name, value.clone());
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn evaluate(&mut self, pipeline: &'t Pipeline, dot: &Value<'d>) -> Result<Value<'d>> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, dot, value)?);
            self.bounded(command.pos, command)?;
        }
        Ok(value.unwrap_or(Value::Absent))
    }

    /// `last` is the result of the command before, an argument more.
    fn command(
        &mut self,
        command: &'t Command,
        dot: &Value<'d>,
        last: Option<Value<'d>>,
    ) -> Result<Value<'d>> {
        let first = &command.words[0];
        if let Operand::Function { pos, name } = first {
            return self.call(command, *pos, name, &command.words[1..], dot, last);
        }
        if command.words.len() > 1 || last.is_some() {
            return match first {
                Operand::Field { names, .. } => {
                    let name = names.last().map_or("", String::as_str);
                    self.fail(
                        first.pos(),
                        first,
                        format!("{name} is not a method but has arguments"),
                    )
                }
                _ => {
                    let text = format!("can't give argument to non-function {first}");
                    self.fail(first.pos(), first, text)
                }
            };
        }
        if let Operand::Nil { pos } = first {
            return self.fail(*pos, first, "nil is not a command".into());
        }
        self.operand(first, dot)
    }

    fn operand(&mut self, operand: &'t Operand, dot: &Value<'d>) -> Result<Value<'d>> {
        match operand {
            Operand::Dot { .. } => Ok(dot.clone()),
            Operand::Nil { .. } => Ok(Value::made(Json::Null)),
            Operand::Bool { value, .. } => Ok(Value::made(*value)),
            Operand::Number { pos, text, value } => match value {
                Number::Int(value) => Ok(Value::made(*value)),
                Number::Float(value) => Ok(Value::made(*value)),
                Number::Overflow => self.fail(*pos, operand, format!("{text} overflows int")),
            },
            Operand::String { value, .. } => Ok(Value::made(value.as_str())),
            Operand::Field { names, .. } => self.fields(dot.clone(), names, operand),
            Operand::Variable { name, fields, .. } => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = found.map_or(Value::Absent, |(_, value)| value.clone());
                self.fields(value, fields, operand)
            }
            Operand::Chain { of, names, .. } => {
                let value = self.operand(of, dot)?;
                self.fields(value, names, operand)
            }
            Operand::Pipeline(pipeline) => self.pipeline(pipeline, dot),
            Operand::Function { pos, name } => self.call(operand, *pos, name, &[], dot, None),
        }
    }

    fn fields(
        &self,
        mut value: Value<'d>,
        names: &[String],
        operand: &Operand,
    ) -> Result<Value<'d>> {
        for name in names {
            value = match self.field(&value, name) {
                Ok(value) => value,
                Err(text) => return self.fail(operand.pos(), operand, text),
            };
        }
        Ok(value)
    }

    fn field(&self, value: &Value<'d>, name: &str) -> std::result::Result<Value<'d>, String> {
        let json = match value.json() {
            None => return Ok(Value::Absent),
            Some(Json::Null) => {
                return Err(format!("nil pointer evaluating interface {{}}.{name}"));
            }
            Some(json) => json,
        };
        if !json.is_object() {
            let kind = value::type_name(json);
            return Err(format!("can't evaluate field {name} in type {kind}"));
        }
        let is_struct = value.shape() == Shape::Struct;
        let shape = match self.options.missing {
            Missing::NoEntry { maps, .. } if maps.contains(&name) => Shape::Map,
            Missing::NoEntry { .. } => Shape::Struct,
            _ => Shape::Any,
        };
        if let Some(part) = value.part(shape, |json| json.get(name)) {
            return Ok(part);
        }
        match self.options.missing {
            _ if !is_struct => Ok(Value::Absent),
            Missing::NoValue => Ok(Value::Absent),
            Missing::NoEntry { optional, .. } if optional.contains(&name) => {
                Ok(Value::made(Json::Null))
            }
            Missing::NoEntry { .. } => {
                Err(format!("map has no entry for key {}", crate::format::quote(name)))
            }
            Missing::NoField { type_name } => {
                Err(format!("can't evaluate field {name} in type {type_name}"))
            }
        }
    }

    /// Calls a function; `whole` is what the error texts show of the call.
    fn call(
        &mut self,
        whole: &dyn fmt::Display,
        pos: usize,
        name: &'t str,
        words: &'t [Operand],
        dot: &Value<'d>,
        last: Option<Value<'d>>,
    ) -> Result<Value<'d>> {
        let given = words.len() + usize::from(last.is_some());
        let Some(function) = functions::find(name) else {
            return self.short_circuit(pos, name, words, dot, last);
        };
        let wanted = function.fixed.len();
        if given < wanted || (given > wanted && function.more.is_none()) {
            let least = if function.more.is_some() { "at least " } else { "" };
            let text = format!("wrong number of args for {name}: want {least}{wanted} got {given}");
            return self.fail(pos, name, text);
        }
        let mut arguments = Vec::with_capacity(given);
        for (index, word) in words.iter().enumerate() {
            let value = self.operand(word, dot)?;
            self.check(function, index, &value, word.pos(), word)?;
            arguments.push(value);
        }
        if let Some(value) = last {
            self.check(function, words.len(), &value, pos, name)?;
            arguments.push(value);
        }
        if self.options.header && function.is_formatting() {
            return Ok(arguments.swap_remove(0));
        }
        match function.call(&arguments) {
            Ok(Value::Made(json)) if json.as_str().is_some_and(|s| s.len() > MAX_OUTPUT_BYTES) => {
                self.fail(pos, whole, format!("error calling {name}: result too large"))
            }
            Ok(value) => Ok(value),
            Err(text) => self.fail(pos, whole, format!("error calling {name}: {text}")),
        }
    }

    fn check(
        &self,
        function: &Function,
        index: usize,
        value: &Value<'d>,
        pos: usize,
        shown: impl fmt::Display,
    ) -> Result<()> {
        let param = function.fixed.get(index).copied().or(function.more).unwrap_or(Param::Any);
        if param.takes(value.json()) || (self.options.header && function.is_formatting()) {
            return Ok(());
        }
        let expected = param.type_name();
        let text = match value {
            Value::Absent => format!("invalid value; expected {expected}"),
            _ => format!("wrong type for value; expected {expected}; got {}", value.type_name()),
        };
        self.fail(pos, shown, text)
    }

    /// `and` and `or`: the first argument that decides, or the last.
    fn short_circuit(
        &mut self,
        pos: usize,
        name: &'t str,
        words: &'t [Operand],
        dot: &Value<'d>,
        last: Option<Value<'d>>,
    ) -> Result<Value<'d>> {
        let decides = name == "or";
        let mut value = None;
        for word in words {
            let argument = self.operand(word, dot)?;
            if argument.is_true() == decides {
                return Ok(argument);
            }
            value = Some(argument);
        }
        match last.or(value) {
            Some(value) => Ok(value),
            None => {
                let text = format!("wrong number of args for {name}: want at least 1 got 0");
                self.fail(pos, name, text)
            }
        }
    }

    fn assign(&mut self, name: &str, value: Value<'d>) {
        if let Some(slot) = self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            slot.1 = value;
        }
    }

    /// Stops what would run or write for ever.
    fn bounded(&mut self, pos: usize, shown: impl fmt::Display) -> Result<()> {
        self.steps += 1;
        if self.out.len() > MAX_OUTPUT_BYTES {
            return self.fail(pos, shown, format!("output exceeds {MAX_OUTPUT_BYTES} bytes"));
        }
        if self.steps > MAX_STEPS {
            return self.fail(pos, shown, format!("more than {MAX_STEPS} steps"));
        }
        Ok(())
    }

    fn fail<T>(&self, pos: usize, shown: impl fmt::Display, message: String) -> Result<T> {
        let (line, column) = self.template.position(pos);
        Err(TemplateError::Execute {
            line,
            column,
            name: self.name.to_owned(),
            at: shown.to_string(),
            message,
        })
    }
}
