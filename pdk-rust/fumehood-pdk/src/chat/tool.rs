//! Tools: what may be called, what was called, what must be called (ABI §3.3).

use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};

/// A tool the model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Tool {
    /// Always `function`.
    #[serde(rename = "type")]
    pub tool_type: String,
    /// The function.
    pub function: FunctionTool,
}

/// A function the model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct FunctionTool {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// Its arguments, a JSON Schema; the order of keys is kept.
    pub parameters: Value,
}

/// A call the model asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Id of the call; a tool result names it.
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type")]
    pub call_type: String,
    /// What to call.
    pub function: FunctionCall,
}

impl ToolCall {
    /// A function call.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            call_type: "function".into(),
            function: FunctionCall { name: name.into(), arguments: arguments.into() },
        }
    }
}

/// The function of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// Its name.
    pub name: String,
    /// JSON text.
    pub arguments: String,
}

/// Which tool the model must call, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides (`"auto"`).
    Auto,
    /// Some tool (`"required"`).
    Any,
    /// No tool (`"none"`).
    None,
    /// This tool.
    Tool(String),
}

impl Serialize for ToolChoice {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            ToolChoice::Auto => out.serialize_str("auto"),
            ToolChoice::Any => out.serialize_str("required"),
            ToolChoice::None => out.serialize_str("none"),
            ToolChoice::Tool(name) => json!({"type": "function", "function": {"name": name}}).serialize(out),
        }
    }
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(input)?;
        match value.as_str() {
            Some("auto") => return Ok(ToolChoice::Auto),
            Some("required") => return Ok(ToolChoice::Any),
            Some("none") => return Ok(ToolChoice::None),
            _ => {}
        }
        let named = value.pointer("/function/name").and_then(Value::as_str);
        match (named, value.get("type").map_or(Some("function"), Value::as_str)) {
            (Some(name), Some("function")) => Ok(ToolChoice::Tool(name.to_string())),
            _ => Err(D::Error::custom(
                r#"tool_choice must be "auto", "required", "none" or {"type":"function","function":{"name":…}}"#,
            )),
        }
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for ToolChoice {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ToolChoice".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                {"type": "string", "enum": ["auto", "required", "none"]},
                {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string", "enum": ["function"]},
                        "function": {
                            "type": "object",
                            "properties": {"name": {"type": "string"}},
                            "required": ["name"]
                        }
                    },
                    "required": ["function"]
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        for text in
            [r#""auto""#, r#""required""#, r#""none""#, r#"{"type":"function","function":{"name":"f"}}"#]
        {
            let choice: ToolChoice = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&choice).unwrap(), text);
        }
        let short: ToolChoice = serde_json::from_str(r#"{"function":{"name":"f"}}"#).unwrap();
        assert_eq!(short, ToolChoice::Tool("f".into()));
        for bad in [r#""any""#, "1", r#"{"type":"tool","function":{"name":"f"}}"#, "{}"] {
            assert!(serde_json::from_str::<ToolChoice>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parameters_keep_their_order() {
        let text = r#"{"type":"function","function":{"name":"f","description":"d","parameters":{"z":1,"a":{"y":2,"b":3}}}}"#;
        let tool: Tool = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&tool).unwrap(), text);
    }
}
