//! What goes over the control socket: one request, a line of JSON, and one reply, a line of JSON; then the
//! connection is closed.
//!
//! Both lines carry the protocol's version. A field that the reader of a *request* does not know is an error, because
//! a half-understood order is worse than none; one that the reader of a *reply* does not know is passed over, so that
//! replies can grow. A request that will bring many records takes them by pages, not as a stream: the server then
//! never has to keep anything for a client that went away. Pure; used by both ends.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::Status;
use crate::event::Mode;

/// The version of the protocol. It changes when an old reader would misunderstand a new writer.
pub const VERSION: u64 = 1;

/// The longest request line in bytes, its newline included.
pub const REQUEST_LIMIT: usize = 64 * 1024;

/// The longest reply that a client takes.
pub const REPLY_LIMIT: usize = 64 * 1024 * 1024;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Everything that `shmguard status` shows.
    Status,
    /// Read policy and configuration again, as on SIGHUP.
    Reload,
    /// Change the mode of the running guard.
    Mode {
        /// The new mode.
        mode: Mode,
        /// After so many seconds the mode of the configuration holds again; for good where it is absent.
        for_seconds: Option<u64>,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status {
        /// The state of the guard.
        status: Box<Status>,
    },
    /// The order was carried out.
    Done {
        /// What holds now: one clause for people.
        message: String,
    },
    /// It was not.
    Error(Refusal),
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people. May hold several lines: the problems of a policy.
    pub message: String,
    /// What the server understands, where the request was not understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supported: Option<Supported>,
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The peer is not root.
    NotPermitted,
    /// The line is not a JSON object, is too long, or did not come in time.
    Malformed,
    /// Another version, an unknown request, or a field that is not part of it.
    Unsupported,
    /// The request was understood and failed: a policy with mistakes, say.
    Failed,
    /// A mistake in the guard itself.
    Internal,
    /// A code of a newer guard.
    #[serde(other)]
    Unknown,
}

/// What a server understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supported {
    /// Versions of the protocol.
    pub versions: Vec<u64>,
    /// Names of requests.
    pub requests: Vec<String>,
}

impl Request {
    /// The name of every request, as it stands on the wire.
    pub const NAMES: [&str; 3] = ["status", "reload", "mode"];

    /// A mode for a time holds for so many seconds at most: a year. What is to hold longer belongs into the
    /// configuration, and time that cannot be counted never ends.
    pub const LONGEST: u64 = 366 * 86_400;

    /// Reads a request line, with or without its newline.
    ///
    /// # Errors
    /// The reply that says what is wrong and what is supported.
    pub fn decode(line: &[u8]) -> Result<Self, Refusal> {
        let value: Value = serde_json::from_slice(line)
            .map_err(|error| Refusal::new(Code::Malformed, format!("the request is not JSON: {error}")))?;
        let Value::Object(mut fields) = value else {
            return Err(Refusal::new(Code::Malformed, "the request is not a JSON object"));
        };
        match fields.remove("version") {
            Some(Value::Number(version)) if version.as_u64() == Some(VERSION) => {}
            Some(other) => return Err(unsupported(format!("protocol version {other} is not supported"))),
            None => return Err(unsupported("the request has no `version`".to_owned())),
        }
        match fields.get("request") {
            Some(Value::String(name)) if Self::NAMES.contains(&name.as_str()) => {}
            Some(other) => return Err(unsupported(format!("there is no request {other}"))),
            None => return Err(unsupported("there is no `request`".to_owned())),
        }
        let request: Self = serde_json::from_value(Value::Object(fields.clone()))
            .map_err(|error| unsupported(format!("the request does not fit: {error}")))?;
        // serde's own refusal of unknown fields has no effect on variants without fields, so: what the request
        // would be written with is what it may hold.
        let Ok(Value::Object(known)) = serde_json::to_value(&request) else {
            return Err(Refusal::new(Code::Internal, "the request cannot be written again"));
        };
        if let Some(name) = fields.keys().find(|name| !known.contains_key(*name)) {
            return Err(unsupported(format!("the request has no field {:?}", name.as_str())));
        }
        match request {
            Self::Mode { for_seconds: Some(seconds), .. } if seconds > Self::LONGEST => {
                let told = format!("`for_seconds` is {seconds}, and may be {} at most", Self::LONGEST);
                Err(Refusal::new(Code::Unsupported, told))
            }
            Self::Mode { .. } | Self::Status | Self::Reload => Ok(request),
        }
    }

    /// The request line with its newline.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        line(self)
    }
}

impl Reply {
    /// The reply line with its newline.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        line(self)
    }

    /// Reads a reply line.
    ///
    /// # Errors
    /// What is wrong with it: one clause.
    pub fn decode(line: &[u8]) -> Result<Self, String> {
        let value: Value =
            serde_json::from_slice(line).map_err(|error| format!("the reply is not JSON: {error}"))?;
        match value.get("version").and_then(Value::as_u64) {
            // An error says what the other side supports, and keeps its form over versions.
            Some(_) if value.get("reply").and_then(Value::as_str) == Some("error") => {}
            Some(VERSION) => {}
            Some(other) => return Err(format!("the guard speaks version {other} of the protocol")),
            None => return Err("the reply has no `version`".to_owned()),
        }
        serde_json::from_value(value).map_err(|error| format!("the reply does not fit: {error}"))
    }
}

impl Refusal {
    /// A refusal that has nothing to say about what is supported.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), supported: None }
    }
}

fn unsupported(message: String) -> Refusal {
    let requests = Request::NAMES.map(str::to_owned).to_vec();
    let message = format!("{message}; supported are version {VERSION} and {}", requests.join(", "));
    let supported = Some(Supported { versions: vec![VERSION], requests });
    Refusal { code: Code::Unsupported, message, supported }
}

/// `message` as one line with the version in front. JSON escapes newlines, so the only one is the last byte.
fn line(message: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Envelope<'m, M> {
        version: u64,
        #[serde(flatten)]
        message: &'m M,
    }
    // Maps with keys that are no strings, and types that refuse to be written, do not occur in the wire types.
    let mut line = serde_json::to_vec(&Envelope { version: VERSION, message }).unwrap_or_default();
    line.push(b'\n');
    line
}
