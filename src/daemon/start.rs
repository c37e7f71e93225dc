//! `run`, from the first check to the last answer, in the order in which things must happen.

use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::counters::Counters;
use super::keeper::{self, Keeper};
use super::live::{self, Current, Live};
use super::load::{self, Ownership};
use super::marks::Marks;
use super::pipeline::{Job, Pipeline, Shared, Sink};
use super::reader::{self, EVIDENCE_QUEUE, ReaderControl};
use super::signals::{Received, Signals};
use super::status;
use super::steward::{Steward, keep};
use crate::control::server::{self, Limits, Listener};
use crate::event::Mode;
use crate::identify::{Identifier, IdentifyError};
use crate::notify::{Group, NotifyError, PendingExec};
use crate::policy::Problem;
use crate::policy::config::{Config, Level, Switch};
use crate::privileges::{self, PrivilegeError};
use crate::record::{Host, Log, Notice, RecordError};
use crate::supervise::service::Service;
use crate::sys::scheduling;
use crate::watch::monitor::Monitor;
use crate::watch::{links, plan};

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration file; `None`: the usual one, if it exists.
    pub config: Option<PathBuf>,
    /// Stands above the configuration's mode.
    pub mode: Option<Mode>,
}
