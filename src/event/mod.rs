//! The words that every room shares: an attempt, its subject and object, decisions and responses.
//!
//! Plain values and newtypes. May not do I/O, read a clock, or import another room; every other room imports this one.

#![forbid(unsafe_code)]

mod attempt;
mod capability;
mod decision;
mod fact;
mod field;
mod ids;
mod texts;
mod users;
mod value;
mod view;

pub use attempt::{
    Action, Arguments, Attempt, Credentials, FileCapabilities, FileFacts, Image, Interpreter, Login,
    MountFacts, Namespaces, Object, Privileges, Process, Subject, Timestamp, Trust, Unseen,
};
pub use capability::Capabilities;
pub use decision::{Basis, Decision, Effect, Failure, Mode, Response, RuleIndex, Settled};
pub use fact::{Cause, Fact, Groups};
pub use field::{Field, Kind};
pub use ids::{Device, Gid, Pid, Uid};
pub use texts::Texts;
pub use users::Users;
pub use value::{Doubt, Facts, Part, Value};
pub use view::View;
