//! The HTTP side, as a script would use it.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as JSON; null when it is none.
    pub body: Value,
}

/// A caller of the HTTP side.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Http {
    /// A caller with a key, or without.
    #[must_use]
    pub fn new(base: &str, key: Option<&str>) -> Self {
        // A client wants to know who does TLS, also where nobody speaks it; it need not be told twice.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            client: reqwest::Client::new(),
            base: base.to_owned(),
            key: key.map(str::to_owned),
        }
    }

    /// A request with the key on it.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let request = self
            .client
            .request(method.parse().unwrap(), format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request("GET", path)).await
    }

    /// Sends JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request("POST", path).json(body)).await
    }

    /// Sends CSV.
    pub async fn post_csv(&self, path: &str, body: String) -> Answer {
        answer(
            self.request("POST", path)
                .header("content-type", "text/csv")
                .body(body),
        )
        .await
    }
}

/// Sends a request and reads its answer.
pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    Answer {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    }
}
