//! The factory: schema, configuration, list of models.

use crate::config::{Endpoint, OpenAI, SCHEMA};
use fumehood_pdk::error::response_format;
use fumehood_pdk::http::{Request, Response};
use fumehood_pdk::plugin::http::{HTTPLLMProvider, HTTPLLMProviderFactory};
use fumehood_pdk::request::get;
use fumehood_pdk::status::require_success;
use fumehood_pdk::LLMError;
use serde::Deserialize;
use serde_json::Value;
use std::error::Error;

/// Makes [`OpenAI`] providers.
pub struct Factory;

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

impl HTTPLLMProviderFactory for Factory {
    fn name(&self) -> &str {
        "openai"
    }

    fn config_schema(&self) -> Value {
        serde_json::from_str(SCHEMA).expect("a test reads the same text")
    }

    fn from_config(&self, cfg: &Value) -> Result<Box<dyn HTTPLLMProvider>, Box<dyn Error>> {
        let provider = OpenAI::deserialize(cfg)?;
        provider.endpoint().uri("")?;
        Ok(Box::new(provider))
    }

    fn list_models_request(&self, cfg: &Value) -> Result<Request<Vec<u8>>, LLMError> {
        let endpoint = Endpoint::deserialize(cfg)?;
        let mut request = get(endpoint.uri("models")?);
        endpoint.authorize(&mut request)?;
        Ok(request)
    }

    fn parse_list_models(&self, resp: Response<Vec<u8>>) -> Result<Vec<String>, Box<dyn Error>> {
        require_success(&resp)?;
        let models: Models = serde_json::from_slice(resp.body())
            .map_err(|error| response_format(format!("list of models: {error}"), resp.body()))?;
        Ok(models.data.into_iter().map(|model| model.id).collect())
    }

    fn api_key_name(&self) -> Option<String> {
        Some("OPENAI_API_KEY".into())
    }
}
