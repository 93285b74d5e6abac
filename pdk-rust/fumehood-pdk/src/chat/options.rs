//! Values that many provider configurations share (ABI §3.3).

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// How hard the model should think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReasoningEffort {
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// As much as it can.
    Max,
}

/// A schema that the answer must follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct StructuredOutputFormat {
    /// Name of the schema.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON Schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Whether the vendor must enforce it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// The system texts of a configuration: `null`, one string or a list of strings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct System(pub Vec<String>);

impl System {
    /// The texts, a blank line between them; `None` when there is nothing to say.
    pub fn joined(&self) -> Option<String> {
        let texts: Vec<&str> = self.0.iter().map(String::as_str).filter(|t| !t.is_empty()).collect();
        (!texts.is_empty()).then(|| texts.join("\n\n"))
    }
}

impl<'de> Deserialize<'de> for System {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = System;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of strings or null")
            }
            fn visit_unit<E>(self) -> Result<System, E> {
                Ok(System::default())
            }
            fn visit_str<E>(self, text: &str) -> Result<System, E> {
                Ok(System(vec![text.to_string()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<System, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(System(texts))
            }
        }
        input.deserialize_any(Texts)
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for System {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "System".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["array", "string", "null"], "items": {"type": "string"}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_in_three_forms() {
        for (text, joined) in
            [("null", None), (r#""a""#, Some("a")), (r#"["a","","b"]"#, Some("a\n\nb")), (r#"[""]"#, None)]
        {
            let system: System = serde_json::from_str(text).unwrap();
            assert_eq!(system.joined().as_deref(), joined);
        }
        assert!(serde_json::from_str::<System>("1").is_err());
        assert!(serde_json::from_str::<System>("[1]").is_err());
    }
}
