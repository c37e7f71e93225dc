//! Which fields of a document are kept: a tree of the parts of their names, each leaf with the number of a slot.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "of the many fields a few are derived from others, and the rest are not"
)]

use crate::event::Field;
use crate::policy::Generation;
use std::sync::LazyLock;

/// Which fields of a document are kept, as a tree of the parts of their names.
#[derive(Clone, Debug)]
pub struct Shape {
    nodes: Vec<Branch>,
}

#[derive(Clone, Debug, Default)]
struct Branch {
    below: Vec<(Box<str>, usize)>,
    slot: Option<usize>,
}

/// What a record says beside the fields. Their slots follow those of the fields.
#[derive(Clone, Copy)]
pub(super) enum Extra {
    Provider,
    Module,
    Dataset,
    Timestamp,
    Names,
    Absent,
    Unknown,
    Redacted,
    Truncated,
    Login,
    Decision,
    Basis,
    Rule,
}

pub(super) const EXTRAS: &[(Extra, &str)] = &[
    (Extra::Provider, "event.provider"),
    (Extra::Module, "event.module"),
    (Extra::Dataset, "event.dataset"),
    (Extra::Timestamp, "@timestamp"),
    (Extra::Names, "shmguard.names"),
    (Extra::Absent, "shmguard.absent"),
    (Extra::Unknown, "shmguard.unknown.field"),
    (Extra::Redacted, "shmguard.redacted"),
    (Extra::Truncated, "shmguard.arguments.truncated"),
    (Extra::Login, "shmguard.login"),
    (Extra::Decision, "shmguard.decision"),
    (Extra::Basis, "shmguard.basis"),
    (Extra::Rule, "shmguard.rule"),
];

impl Extra {
    pub(super) fn slot(self) -> usize {
        Field::COUNT + self as usize
    }
}

impl Shape {
    /// Everything that the rules of `generation` read, and what these fields are derived from.
    #[must_use]
    pub fn of(generation: &Generation) -> Self {
        let mut shape = Self { nodes: vec![Branch::default()] };
        for field in generation.fields() {
            shape.add_with_sources(*field);
        }
        shape.add_extras();
        shape
    }

    /// Every field.
    #[must_use]
    pub fn all() -> Self {
        let mut shape = Self { nodes: vec![Branch::default()] };
        for field in Field::ALL {
            shape.add_with_sources(*field);
        }
        shape.add_extras();
        shape
    }

    fn add_with_sources(&mut self, field: Field) {
        self.add(field.name(), field.index());
        if let Some(source) = same_as(field) {
            self.add(source.name(), source.index());
        }
        if let Some(id) = named_by(field) {
            self.add(id.name(), id.index());
        }
        if let Some(args) = args_of(field) {
            self.add(args.name(), args.index());
        }
        if let Some(leader) = leader_of(field) {
            self.add(leader.name(), leader.index());
            self.add(Field::ProcessPid.name(), Field::ProcessPid.index());
        }
        if matches!(field, Field::ProcessCapabilitiesPermitted | Field::ProcessCapabilitiesEffective) {
            self.add(Field::NoNewPrivs.name(), Field::NoNewPrivs.index());
        }
        if field == Field::EntryMetaType {
            self.add(Field::ContainerId.name(), Field::ContainerId.index());
            self.add(Field::EntryLeaderName.name(), Field::EntryLeaderName.index());
        }
    }

    fn add_extras(&mut self) {
        self.add(Field::PathInside.name(), Field::PathInside.index());
        for (extra, name) in EXTRAS {
            self.add(name, extra.slot());
        }
    }

    fn add(&mut self, name: &str, slot: usize) {
        let mut at = 0;
        for part in name.split('.') {
            at = match self.step(at, part) {
                Some(next) => next,
                None => {
                    let next = self.nodes.len();
                    self.nodes.push(Branch::default());
                    if let Some(node) = self.nodes.get_mut(at) {
                        node.below.push((part.into(), next));
                    }
                    next
                }
            };
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.slot = Some(slot);
        }
    }

    fn step(&self, at: usize, part: &str) -> Option<usize> {
        let node = self.nodes.get(at)?;
        node.below.iter().find(|(name, _)| **name == *part).map(|(_, next)| *next)
    }

    /// The node that a key leads to; a key may hold several parts, joined by dots.
    pub(super) fn follow(&self, at: usize, key: &str) -> Option<usize> {
        if let Some(next) = self.step(at, key) {
            return Some(next);
        }
        if !key.contains('.') {
            return None;
        }
        key.split('.').try_fold(at, |at, part| self.step(at, part))
    }

    /// The slot of a node.
    pub(super) fn slot(&self, at: usize) -> Option<usize> {
        self.nodes.get(at).and_then(|node| node.slot)
    }
}

/// The field that holds the same value in our records.
pub(super) fn same_as(field: Field) -> Option<Field> {
    Some(match field {
        Field::UserRealId => Field::ProcessRealUserId,
        Field::UserRealName => Field::ProcessRealUserName,
        Field::GroupRealId => Field::ProcessRealGroupId,
        Field::GroupRealName => Field::ProcessRealGroupName,
        Field::ProcessUserId => Field::UserId,
        Field::ProcessUserName => Field::UserName,
        Field::ProcessGroupId => Field::GroupId,
        Field::ProcessGroupName => Field::GroupName,
        Field::FileHash => Field::ProcessHash,
        Field::FilePath => Field::ProcessExecutable,
        Field::FileName => Field::ProcessName,
        _ => return None,
    })
}

/// The pid of the leader of which a field says whether it is the process itself.
pub(super) fn leader_of(field: Field) -> Option<Field> {
    match field {
        Field::GroupLeaderSame => Some(Field::GroupLeaderPid),
        Field::SessionLeaderSame => Some(Field::SessionLeaderPid),
        Field::EntryLeaderSame => Some(Field::EntryLeaderPid),
        _ => None,
    }
}

/// The id whose name a field holds.
pub(super) fn named_by(field: Field) -> Option<Field> {
    static IDS: LazyLock<Vec<Option<Field>>> =
        LazyLock::new(|| Field::ALL.iter().map(|field| find_id(*field)).collect());
    IDS.get(field.index()).copied().flatten()
}

fn find_id(field: Field) -> Option<Field> {
    match field {
        Field::FileOwner => Some(Field::FileUid),
        Field::FileGroup => Some(Field::FileGid),
        field => Field::named(&format!("{}.id", field.name().strip_suffix(".name")?)),
    }
}

/// The list of arguments that a field is made from.
pub(super) fn args_of(field: Field) -> Option<Field> {
    static LISTS: LazyLock<Vec<Option<Field>>> =
        LazyLock::new(|| Field::ALL.iter().map(|field| find_args(*field)).collect());
    LISTS.get(field.index()).copied().flatten()
}

fn find_args(field: Field) -> Option<Field> {
    if field == Field::ProcessEnvVars {
        return Some(field);
    }
    let name = field.name();
    let prefix = [".args", ".args_count", ".command_line"].iter().find_map(|end| name.strip_suffix(end))?;
    Field::named(&format!("{prefix}.args"))
}
