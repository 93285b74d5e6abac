//! [`Content`]: one block of a message (ABI §3.2).

use crate::msgpack::{Bytes, Slice};
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One block of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// An image by its bytes.
    Image {
        /// Such as `image/png`.
        mime_type: String,
        /// The file.
        data: Vec<u8>,
    },
    /// An image by its address.
    ImageUrl {
        /// The address.
        url: String,
    },
    /// A PDF document.
    Pdf {
        /// The file.
        data: Vec<u8>,
    },
    /// A sound.
    Audio {
        /// Such as `audio/wav`.
        mime_type: String,
        /// The file.
        data: Vec<u8>,
    },
    /// What the model thought.
    Thinking {
        /// The thought.
        text: String,
        /// The vendor's signature, to be sent back unchanged.
        signature: Option<String>,
    },
    /// The model asks for a tool.
    ToolUse {
        /// Id of the call.
        id: String,
        /// Name of the tool.
        name: String,
        /// Its arguments.
        arguments: Value,
    },
    /// What a tool answered.
    ToolResult {
        /// Id of the call it answers.
        id: String,
        /// Name of the tool.
        name: Option<String>,
        /// Whether the tool failed.
        is_error: bool,
        /// The answer.
        content: Vec<Content>,
    },
    /// A reference to something that is not included.
    ResourceLink {
        /// Where it is.
        uri: String,
        /// Its name.
        name: Option<String>,
        /// What it is.
        description: Option<String>,
        /// Its type.
        mime_type: Option<String>,
    },
}

impl Content {
    /// A text block.
    pub fn text(text: impl Into<String>) -> Self {
        Content::Text { text: text.into() }
    }

    /// The text of a text block.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Content::Text { text } => Some(text),
            _ => None,
        }
    }

    /// The texts of the blocks, a newline between them; other blocks are passed over.
    pub fn join_text(blocks: &[Content]) -> String {
        let texts: Vec<&str> = blocks.iter().filter_map(Content::as_text).collect();
        texts.join("\n")
    }

    /// What a vendor without resource links is told instead of one: `name (uri)`.
    pub fn link_text(uri: &str, name: Option<&str>) -> String {
        match name {
            Some(name) => format!("{name} ({uri})"),
            None => uri.to_string(),
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Text,
    Image,
    ImageUrl,
    Pdf,
    Audio,
    Thinking,
    ToolUse,
    ToolResult,
    ResourceLink,
}

/// A block as it is written. Flat on purpose: serde's tagged enums buffer the whole object first, and
/// a buffered array of decimal bytes takes 32 bytes of memory for each byte of an image.
#[derive(Serialize, Deserialize)]
struct Block<D, C> {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    // `null` is a value here, absence is not
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    arguments: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_error: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(input).map(Some)
}

impl<D, C> Block<D, C> {
    fn new(kind: Kind) -> Self {
        Block {
            kind,
            text: None,
            mime_type: None,
            data: None,
            url: None,
            signature: None,
            id: None,
            name: None,
            arguments: None,
            is_error: None,
            content: None,
            uri: None,
            description: None,
        }
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        type Borrowed<'a> = Block<Slice<'a>, &'a [Content]>;
        let new = Borrowed::new;
        let block = match self {
            Content::Text { text } => Block { text: Some(text.clone()), ..new(Kind::Text) },
            Content::Image { mime_type, data } => {
                Block { mime_type: Some(mime_type.clone()), data: Some(Slice(data)), ..new(Kind::Image) }
            }
            Content::ImageUrl { url } => Block { url: Some(url.clone()), ..new(Kind::ImageUrl) },
            Content::Pdf { data } => Block { data: Some(Slice(data)), ..new(Kind::Pdf) },
            Content::Audio { mime_type, data } => {
                Block { mime_type: Some(mime_type.clone()), data: Some(Slice(data)), ..new(Kind::Audio) }
            }
            Content::Thinking { text, signature } => {
                Block { text: Some(text.clone()), signature: signature.clone(), ..new(Kind::Thinking) }
            }
            Content::ToolUse { id, name, arguments } => Block {
                id: Some(id.clone()),
                name: Some(name.clone()),
                arguments: Some(arguments.clone()),
                ..new(Kind::ToolUse)
            },
            Content::ToolResult { id, name, is_error, content } => Block {
                id: Some(id.clone()),
                name: name.clone(),
                is_error: Some(*is_error),
                content: Some(content.as_slice()),
                ..new(Kind::ToolResult)
            },
            Content::ResourceLink { uri, name, description, mime_type } => Block {
                uri: Some(uri.clone()),
                name: name.clone(),
                description: description.clone(),
                mime_type: mime_type.clone(),
                ..new(Kind::ResourceLink)
            },
        };
        block.serialize(out)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let block = Block::<Bytes, Vec<Content>>::deserialize(input)?;
        fn need<T, E: serde::de::Error>(value: Option<T>, key: &'static str) -> Result<T, E> {
            value.ok_or_else(|| E::missing_field(key))
        }
        Ok(match block.kind {
            Kind::Text => Content::Text { text: need(block.text, "text")? },
            Kind::Image => Content::Image {
                mime_type: need(block.mime_type, "mime_type")?,
                data: need(block.data, "data")?.0,
            },
            Kind::ImageUrl => Content::ImageUrl { url: need(block.url, "url")? },
            Kind::Pdf => Content::Pdf { data: need(block.data, "data")?.0 },
            Kind::Audio => Content::Audio {
                mime_type: need(block.mime_type, "mime_type")?,
                data: need(block.data, "data")?.0,
            },
            Kind::Thinking => {
                Content::Thinking { text: need(block.text, "text")?, signature: block.signature }
            }
            Kind::ToolUse => Content::ToolUse {
                id: need(block.id, "id")?,
                name: need(block.name, "name")?,
                // not `need`: serde reads a missing field of an `Option`-like type as null
                arguments: block.arguments.ok_or_else(|| D::Error::missing_field("arguments"))?,
            },
            Kind::ToolResult => Content::ToolResult {
                id: need(block.id, "id")?,
                name: block.name,
                is_error: need(block.is_error, "is_error")?,
                content: need(block.content, "content")?,
            },
            Kind::ResourceLink => Content::ResourceLink {
                uri: need(block.uri, "uri")?,
                name: block.name,
                description: block.description,
                mime_type: block.mime_type,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_of_the_specification_round_trips() {
        for text in [
            r#"{"type":"text","text":"hi"}"#,
            r#"{"type":"image","mime_type":"image/png","data":[137,80]}"#,
            r#"{"type":"image_url","url":"https://x/y.png"}"#,
            r#"{"type":"pdf","data":[37]}"#,
            r#"{"type":"audio","mime_type":"audio/wav","data":[82]}"#,
            r#"{"type":"thinking","text":"t"}"#,
            r#"{"type":"thinking","text":"t","signature":"s"}"#,
            r#"{"type":"tool_use","id":"c1","name":"f","arguments":{"q":1}}"#,
            r#"{"type":"tool_use","id":"c1","name":"f","arguments":null}"#,
            r#"{"type":"tool_result","id":"c1","is_error":false,"content":[{"type":"text","text":"a"}]}"#,
            r#"{"type":"tool_result","id":"c1","name":"f","is_error":true,"content":[]}"#,
            r#"{"type":"resource_link","uri":"file:///a"}"#,
            r#"{"mime_type":"m","type":"resource_link","name":"n","uri":"u","description":"d"}"#,
        ] {
            let block: Content = serde_json::from_str(text).expect(text);
            let again: Value = serde_json::to_value(&block).unwrap();
            assert_eq!(again, serde_json::from_str::<Value>(text).unwrap());
        }
    }

    #[test]
    fn malformed_blocks_are_refused() {
        for (text, part) in [
            (r#"{"type":"nope"}"#, "unknown variant `nope`"),
            (r#"{"text":"a"}"#, "missing field `type`"),
            (r#"{"type":"text"}"#, "missing field `text`"),
            (r#"{"type":"image","mime_type":"image/png","data":"iVBO"}"#, "invalid type"),
            (r#"{"type":"image","mime_type":"image/png","data":[256]}"#, "256"),
            (r#"{"type":"tool_use","id":"c","name":"f"}"#, "missing field `arguments`"),
            (r#"{"type":"tool_result","id":"c","content":[]}"#, "missing field `is_error`"),
        ] {
            let error = serde_json::from_str::<Content>(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
