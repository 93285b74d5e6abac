//! Speech: text from sound and sound from text (ABI §3.8).

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// A sound to write down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SttRequest {
    /// The file.
    #[serde(rename = "audio_base64", with = "base64_bytes")]
    pub audio: Vec<u8>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// The model to use instead of the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The language spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// What was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SttResponse {
    /// The text.
    pub text: String,
}

/// Whose voice to speak with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum VoiceConfig {
    /// One of the vendor's.
    Preset {
        /// Its name.
        name: String,
    },
    /// One like this.
    Clone {
        /// A recording of it.
        #[serde(rename = "reference_audio_base64", serialize_with = "base64_bytes::serialize")]
        reference_audio: Vec<u8>,
        /// What is said there.
        #[serde(skip_serializing_if = "Option::is_none")]
        reference_text: Option<String>,
    },
    /// One that is described.
    Design {
        /// The description.
        description: String,
    },
}

/// A voice as it is written. Flat, for serde's tagged enums would be ten times the code.
#[derive(Deserialize)]
struct Voice {
    r#type: Kind,
    name: Option<String>,
    reference_audio_base64: Option<String>,
    reference_text: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Preset,
    Clone,
    Design,
}

impl<'de> Deserialize<'de> for VoiceConfig {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let voice = Voice::deserialize(input)?;
        let need =
            |value: Option<String>, key: &'static str| value.ok_or_else(|| D::Error::missing_field(key));
        Ok(match voice.r#type {
            Kind::Preset => VoiceConfig::Preset { name: need(voice.name, "name")? },
            Kind::Clone => {
                let audio = need(voice.reference_audio_base64, "reference_audio_base64")?;
                let reference_audio = STANDARD.decode(audio).map_err(D::Error::custom)?;
                VoiceConfig::Clone { reference_audio, reference_text: voice.reference_text }
            }
            Kind::Design => VoiceConfig::Design { description: need(voice.description, "description")? },
        })
    }
}

/// A text to speak.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TtsRequest {
    /// The text.
    pub text: String,
    /// The model to use instead of the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The voice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice_config: Option<VoiceConfig>,
    /// The file format, such as `mp3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// How fast; 1 is normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f32>,
    /// The language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// The spoken text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TtsResponse {
    /// The file.
    #[serde(rename = "audio_base64", with = "base64_bytes")]
    pub audio: Vec<u8>,
    /// Its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

mod base64_bytes {
    use super::*;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(input)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_forms_round_trip() {
        fn check<T: Serialize + for<'de> Deserialize<'de>>(text: &str) {
            let value: T = serde_json::from_str(text).expect(text);
            let again: serde_json::Value = serde_json::to_value(&value).unwrap();
            assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).unwrap());
        }
        check::<SttRequest>(r#"{"audio_base64":"UklG","filename":"a.wav"}"#);
        check::<TtsRequest>(
            r#"{"text":"hi","voice_config":{"type":"preset","name":"alloy"},"format":"mp3","speed":1.25}"#,
        );
        check::<VoiceConfig>(r#"{"type":"clone","reference_audio_base64":"UklG","reference_text":"r"}"#);
        check::<VoiceConfig>(r#"{"type":"design","description":"warm"}"#);
        check::<TtsResponse>(r#"{"audio_base64":"AA==","mime_type":"audio/mpeg"}"#);
        assert!(serde_json::from_str::<SttRequest>(r#"{"audio_base64":"AA"}"#).is_err());
        for (text, part) in [
            (r#"{"type":"preset"}"#, "missing field `name`"),
            (r#"{"type":"clone"}"#, "missing field `reference_audio_base64`"),
            (r#"{"type":"clone","reference_audio_base64":"AA"}"#, "padding"),
            (r#"{"type":"design","name":"n"}"#, "missing field `description`"),
            (r#"{"type":"other"}"#, "unknown variant"),
        ] {
            let error = serde_json::from_str::<VoiceConfig>(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
