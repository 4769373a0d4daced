//! Values of D-Bus: their types, their bytes, and the text form in which annotations have them.
//!
//! D-Bus specification 0.43, "Type System" and "Marshaling (Wire Format)".

/// A value with its type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Byte(u8),
    Bool(bool),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(String),
    /// The signature of its elements, which an empty one has too.
    Array(String, Vec<Self>),
    Struct(Vec<Self>),
    Variant(Box<Self>),
}

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Array("s".into(), texts.into_iter().map(Self::text).collect())
    }

    pub(crate) fn variant(self) -> Self {
        Self::Variant(Box::new(self))
    }

    /// `s`, `a(ss)`, and so on.
    pub(crate) fn signature(&self) -> String {
        match self {
            Self::Byte(_) => "y".into(),
            Self::Bool(_) => "b".into(),
            Self::I16(_) => "n".into(),
            Self::U16(_) => "q".into(),
            Self::I32(_) => "i".into(),
            Self::U32(_) => "u".into(),
            Self::I64(_) => "x".into(),
            Self::U64(_) => "t".into(),
            Self::F64(_) => "d".into(),
            Self::Text(_) => "s".into(),
            Self::Array(element, _) => format!("a{element}"),
            Self::Struct(fields) => {
                format!("({})", fields.iter().map(Self::signature).collect::<String>())
            }
            Self::Variant(_) => "v".into(),
        }
    }

    /// Adds its bytes, little-endian; `out` begins where alignment counts from.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Byte(value) => out.push(*value),
            Self::Bool(value) => number(out, u32::from(*value).to_le_bytes()),
            Self::I16(value) => number(out, value.to_le_bytes()),
            Self::U16(value) => number(out, value.to_le_bytes()),
            Self::I32(value) => number(out, value.to_le_bytes()),
            Self::U32(value) => number(out, value.to_le_bytes()),
            Self::I64(value) => number(out, value.to_le_bytes()),
            Self::U64(value) => number(out, value.to_le_bytes()),
            Self::F64(value) => number(out, value.to_le_bytes()),
            Self::Text(text) => string(out, text),
            Self::Array(element, values) => {
                pad(out, 4);
                let at = out.len();
                out.extend([0; 4]);
                // The padding before the first element is not part of the length.
                pad(out, alignment(element));
                let begin = out.len();
                for value in values {
                    value.write(out);
                }
                let length = u32::try_from(out.len() - begin).unwrap_or(u32::MAX);
                out[at..at + 4].copy_from_slice(&length.to_le_bytes());
            }
            Self::Struct(fields) => {
                pad(out, 8);
                for field in fields {
                    field.write(out);
                }
            }
            Self::Variant(value) => {
                signature(out, &value.signature());
                value.write(out);
            }
        }
    }
}

fn number<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    pad(out, N);
    out.extend(bytes);
}

/// A string or an object path: its length, its bytes, and a NUL.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    number(out, u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(text.bytes());
    out.push(0);
}

pub(super) fn signature(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend(text.bytes());
    out.push(0);
}

pub(super) fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_and_counted() {
        let check = |value: Value, signature: &str, bytes: &[u8]| {
            assert_eq!(value.signature(), signature);
            let mut out = Vec::new();
            value.write(&mut out);
            assert_eq!(out, bytes, "{value:?}");
        };
        check(Value::Bool(true), "b", &[1, 0, 0, 0]);
        check(Value::text("ab"), "s", &[2, 0, 0, 0, b'a', b'b', 0]);
        check(Value::U64(5).variant(), "v", &[1, b't', 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        check(Value::Array("u".into(), vec![Value::U32(7)]), "au", &[4, 0, 0, 0, 7, 0, 0, 0]);
        // The length does not count what brings the first structure to its place.
        check(Value::Array("(ss)".into(), Vec::new()), "a(ss)", &[0; 8]);
        let pair = Value::Struct(vec![Value::text(""), Value::Byte(9)]);
        check(
            Value::Array("(sy)".into(), vec![pair]),
            "a(sy)",
            &[6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9],
        );
    }
}
