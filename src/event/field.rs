//! Every ECS field that can be known before the exec: name, type, which group of facts it needs, where it comes from.
//!
//! One flat table. The rule compiler checks names and types against it, [`super::View`] reads values by it, and the
//! manual's table is printed from it. A name that is not here cannot be known before the exec, or not by this program.

use super::Groups;

/// What kind of value a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text, compared byte for byte. Ids of users and groups are keywords too: `user.id == "0"`.
    Keyword,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Boolean,
}

/// Where a field's value is found in an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The same for every attempt that this program judges.
    Constant(&'static [&'static str]),
    /// The attempt itself.
    Attempt(Side),
    /// The caller, or what it becomes.
    Subject(Trait),
    /// Another process.
    Process(Relative, Attribute),
    /// The file.
    Object(Aspect),
}

/// What is known of the attempt itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Action,
    Unseen,
}

/// Another process that is related to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relative {
    /// `process.parent`
    Parent,
    /// `process.group_leader`
    GroupLeader,
    /// `process.session_leader`
    SessionLeader,
    /// `process.entry_leader`
    EntryLeader,
}

/// What is known of another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    Pid,
    Name,
    Executable,
    Args,
    ArgsCount,
    CommandLine,
    WorkingDirectory,
    Interactive,
    UserId,
    UserName,
    RealUserId,
    RealUserName,
    SavedUserId,
    GroupId,
    GroupName,
    RealGroupId,
    RealGroupName,
    SavedGroupId,
    SameAsProcess,
}

/// What is known of the caller, or of what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    Pid,
    Thread,
    User,
    UserName,
    RealUser,
    RealUserName,
    SavedUser,
    SavedUserName,
    Group,
    GroupName,
    RealGroup,
    RealGroupName,
    SavedGroup,
    SavedGroupName,
    Args,
    ArgsCount,
    CommandLine,
    Environment,
    Typed,
    WorkingDirectory,
    Interactive,
    PreviousExecutable,
    PreviousArgs,
    PreviousArgsCount,
    EntryType,
    Permitted,
    Effective,
    GainsPrivilege,
    NoNewPrivs,
    LoginUser,
    LoginUserName,
    LoginSession,
    Cgroup,
    Container,
    MountNamespace,
    PidNamespace,
    UserNamespace,
}

/// What is known of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    Executable,
    Name,
    Directory,
    Extension,
    Type,
    Mode,
    Owner,
    OwnerName,
    Group,
    GroupName,
    Inode,
    Device,
    Size,
    Links,
    Inner,
    Seen,
    Deleted,
    Nosuid,
    Capabilities,
    Hash,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The ECS name.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The facts it is made from; none where every attempt has them.
    pub groups: Groups,
    /// Where [`super::View`] finds it.
    pub origin: Origin,
    /// For the manual: where it comes from.
    pub source: &'static str,
}

macro_rules! fields {
    ($($variant:ident $name:literal $kind:ident [$($group:ident)*] $origin:expr, $source:literal;)*) => {
        /// A field that a rule can ask for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`: ", $source, ".")] $variant,)*
        }

        impl Field {
            /// Every field, in the order of the manual.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The field's row.
            #[must_use]
            pub fn row(self) -> &'static Row {
                match self {
                    $(Self::$variant => {
                        const ROW: Row = Row {
                            name: $name,
                            kind: Kind::$kind,
                            groups: Groups::NONE$(.with(Groups::$group))*,
                            origin: $origin,
                            source: $source,
                        };
                        &ROW
                    })*
                }
            }
        }
    };
}

use Aspect as O;
use Attribute as A;
use Origin::{Attempt, Constant, Object, Process, Subject};
use Relative::{EntryLeader, GroupLeader, Parent, SessionLeader};
use Trait as T;

fields! {
    EventCategory "event.category" Keyword [] Constant(&["process"]), "always process";
    EventType "event.type" Keyword [] Constant(&["start"]), "always start";
    EventAction "event.action" Keyword [] Attempt(Side::Action), "exec, or with watch.loaders and watch.interpreters, load and interpret";
    HostOsType "host.os.type" Keyword [] Constant(&["linux"]), "always linux";

    UserId "user.id" Keyword [] Subject(T::User), "the user after the exec: 0 if the real or the effective uid is 0 then, else the effective uid";
    UserName "user.name" Keyword [] Subject(T::UserName), "the name of user.id in /etc/passwd";
    UserRealId "user.Ext.real.id" Keyword [] Subject(T::RealUser), "the real uid of the calling thread";
    UserRealName "user.Ext.real.name" Keyword [] Subject(T::RealUserName), "the name of user.Ext.real.id in /etc/passwd";
    GroupId "group.id" Keyword [] Subject(T::Group), "the effective gid after the exec";
    GroupName "group.name" Keyword [] Subject(T::GroupName), "the name of group.id in /etc/group";
    GroupRealId "group.Ext.real.id" Keyword [] Subject(T::RealGroup), "the real gid of the calling thread";
    GroupRealName "group.Ext.real.name" Keyword [] Subject(T::RealGroupName), "the name of group.Ext.real.id in /etc/group";

    ProcessPid "process.pid" Number [] Subject(T::Pid), "the calling process, which keeps its id over the exec";
    ProcessThreadId "process.thread.id" Number [] Subject(T::Thread), "the calling thread";
    ProcessExecutable "process.executable" Keyword [] Object(O::Executable), "all names of the file: those of the watched directories' links too";
    ProcessName "process.name" Keyword [] Object(O::Name), "the last part of each name of the file";
    ProcessArgs "process.args" Keyword [ARGUMENTS] Subject(T::Args), "argv of the new image, in the caller's memory";
    ProcessArgsCount "process.args_count" Number [ARGUMENTS] Subject(T::ArgsCount), "how many process.args there are";
    ProcessCommandLine "process.command_line" Keyword [ARGUMENTS] Subject(T::CommandLine), "process.args joined by spaces";
    ProcessEnvVars "process.env_vars" Keyword [ARGUMENTS] Subject(T::Environment), "envp of the new image, in the caller's memory";
    ProcessWorkingDirectory "process.working_directory" Keyword [DIRECTORY] Subject(T::WorkingDirectory), "/proc/TID/cwd";
    ProcessInteractive "process.interactive" Boolean [LOGIN] Subject(T::Interactive), "the process has a controlling terminal";
    ProcessHash "process.hash.sha256" Keyword [HASH] Object(O::Hash), "SHA-256 of the file's content";
    ProcessUserId "process.user.id" Keyword [] Subject(T::User), "as user.id";
    ProcessUserName "process.user.name" Keyword [] Subject(T::UserName), "as user.name";
    ProcessRealUserId "process.real_user.id" Keyword [] Subject(T::RealUser), "the real uid of the calling thread";
    ProcessRealUserName "process.real_user.name" Keyword [] Subject(T::RealUserName), "its name in /etc/passwd";
    ProcessSavedUserId "process.saved_user.id" Keyword [] Subject(T::SavedUser), "the saved uid of the calling thread, before the exec";
    ProcessSavedUserName "process.saved_user.name" Keyword [] Subject(T::SavedUserName), "its name in /etc/passwd";
    ProcessGroupId "process.group.id" Keyword [] Subject(T::Group), "as group.id";
    ProcessGroupName "process.group.name" Keyword [] Subject(T::GroupName), "as group.name";
    ProcessRealGroupId "process.real_group.id" Keyword [] Subject(T::RealGroup), "the real gid of the calling thread";
    ProcessRealGroupName "process.real_group.name" Keyword [] Subject(T::RealGroupName), "its name in /etc/group";
    ProcessSavedGroupId "process.saved_group.id" Keyword [] Subject(T::SavedGroup), "the saved gid of the calling thread, before the exec";
    ProcessSavedGroupName "process.saved_group.name" Keyword [] Subject(T::SavedGroupName), "its name in /etc/group";
    ProcessCapabilitiesPermitted "process.thread.capabilities.permitted" Keyword [PRIVILEGES] Subject(T::Permitted), "the permitted capabilities of the calling thread, before the exec: CAP_SYS_ADMIN and so on";
    ProcessCapabilitiesEffective "process.thread.capabilities.effective" Keyword [PRIVILEGES] Subject(T::Effective), "the effective capabilities of the calling thread, before the exec";

    PreviousExecutable "process.previous.executable" Keyword [PREVIOUS] Subject(T::PreviousExecutable), "/proc/TID/exe: the calling image, which the exec replaces";
    PreviousArgs "process.previous.args" Keyword [PREVIOUS COMMAND_LINES] Subject(T::PreviousArgs), "/proc/TID/cmdline";
    PreviousArgsCount "process.previous.args_count" Number [PREVIOUS COMMAND_LINES] Subject(T::PreviousArgsCount), "how many process.previous.args there are";

    ParentPid "process.parent.pid" Number [] Process(Parent, A::Pid), "/proc/PID/status";
    ParentName "process.parent.name" Keyword [PARENT] Process(Parent, A::Name), "/proc/PPID/comm";
    ParentExecutable "process.parent.executable" Keyword [PARENT] Process(Parent, A::Executable), "/proc/PPID/exe";
    ParentArgs "process.parent.args" Keyword [PARENT COMMAND_LINES] Process(Parent, A::Args), "/proc/PPID/cmdline";
    ParentArgsCount "process.parent.args_count" Number [PARENT COMMAND_LINES] Process(Parent, A::ArgsCount), "how many process.parent.args there are";
    ParentCommandLine "process.parent.command_line" Keyword [PARENT COMMAND_LINES] Process(Parent, A::CommandLine), "process.parent.args joined by spaces";
    ParentWorkingDirectory "process.parent.working_directory" Keyword [PARENT] Process(Parent, A::WorkingDirectory), "/proc/PPID/cwd";
    ParentInteractive "process.parent.interactive" Boolean [PARENT] Process(Parent, A::Interactive), "the parent has a controlling terminal";
    ParentUserId "process.parent.user.id" Keyword [PARENT] Process(Parent, A::UserId), "the parent's effective uid";
    ParentUserName "process.parent.user.name" Keyword [PARENT] Process(Parent, A::UserName), "its name in /etc/passwd";
    ParentRealUserId "process.parent.real_user.id" Keyword [PARENT] Process(Parent, A::RealUserId), "the parent's real uid";
    ParentRealUserName "process.parent.real_user.name" Keyword [PARENT] Process(Parent, A::RealUserName), "its name in /etc/passwd";
    ParentSavedUserId "process.parent.saved_user.id" Keyword [PARENT] Process(Parent, A::SavedUserId), "the parent's saved uid";
    ParentGroupId "process.parent.group.id" Keyword [PARENT] Process(Parent, A::GroupId), "the parent's effective gid";
    ParentGroupName "process.parent.group.name" Keyword [PARENT] Process(Parent, A::GroupName), "its name in /etc/group";
    ParentRealGroupId "process.parent.real_group.id" Keyword [PARENT] Process(Parent, A::RealGroupId), "the parent's real gid";
    ParentRealGroupName "process.parent.real_group.name" Keyword [PARENT] Process(Parent, A::RealGroupName), "its name in /etc/group";
    ParentSavedGroupId "process.parent.saved_group.id" Keyword [PARENT] Process(Parent, A::SavedGroupId), "the parent's saved gid";

    GroupLeaderPid "process.group_leader.pid" Number [LEADERS] Process(GroupLeader, A::Pid), "/proc/PID/stat";
    GroupLeaderName "process.group_leader.name" Keyword [LEADERS] Process(GroupLeader, A::Name), "its /proc/PID/comm";
    GroupLeaderExecutable "process.group_leader.executable" Keyword [LEADERS] Process(GroupLeader, A::Executable), "its /proc/PID/exe";
    GroupLeaderSame "process.group_leader.same_as_process" Boolean [LEADERS] Process(GroupLeader, A::SameAsProcess), "it is the calling process itself";
    GroupLeaderArgs "process.group_leader.args" Keyword [LEADERS COMMAND_LINES] Process(GroupLeader, A::Args), "its /proc/PID/cmdline";
    GroupLeaderArgsCount "process.group_leader.args_count" Number [LEADERS COMMAND_LINES] Process(GroupLeader, A::ArgsCount), "how many of these there are";
    GroupLeaderCommandLine "process.group_leader.command_line" Keyword [LEADERS COMMAND_LINES] Process(GroupLeader, A::CommandLine), "these joined by spaces";
    GroupLeaderWorkingDirectory "process.group_leader.working_directory" Keyword [LEADERS] Process(GroupLeader, A::WorkingDirectory), "its /proc/PID/cwd";
    GroupLeaderInteractive "process.group_leader.interactive" Boolean [LEADERS] Process(GroupLeader, A::Interactive), "it has a controlling terminal";
    GroupLeaderUserId "process.group_leader.user.id" Keyword [LEADERS] Process(GroupLeader, A::UserId), "its effective uid";
    GroupLeaderUserName "process.group_leader.user.name" Keyword [LEADERS] Process(GroupLeader, A::UserName), "that user's name";
    GroupLeaderRealUserId "process.group_leader.real_user.id" Keyword [LEADERS] Process(GroupLeader, A::RealUserId), "its real uid";
    GroupLeaderRealUserName "process.group_leader.real_user.name" Keyword [LEADERS] Process(GroupLeader, A::RealUserName), "that user's name";
    GroupLeaderGroupId "process.group_leader.group.id" Keyword [LEADERS] Process(GroupLeader, A::GroupId), "its effective gid";
    GroupLeaderRealGroupId "process.group_leader.real_group.id" Keyword [LEADERS] Process(GroupLeader, A::RealGroupId), "its real gid";

    SessionLeaderPid "process.session_leader.pid" Number [LEADERS] Process(SessionLeader, A::Pid), "/proc/PID/stat";
    SessionLeaderName "process.session_leader.name" Keyword [LEADERS] Process(SessionLeader, A::Name), "its /proc/PID/comm";
    SessionLeaderExecutable "process.session_leader.executable" Keyword [LEADERS] Process(SessionLeader, A::Executable), "its /proc/PID/exe";
    SessionLeaderSame "process.session_leader.same_as_process" Boolean [LEADERS] Process(SessionLeader, A::SameAsProcess), "it is the calling process itself";
    SessionLeaderArgs "process.session_leader.args" Keyword [LEADERS COMMAND_LINES] Process(SessionLeader, A::Args), "its /proc/PID/cmdline";
    SessionLeaderArgsCount "process.session_leader.args_count" Number [LEADERS COMMAND_LINES] Process(SessionLeader, A::ArgsCount), "how many of these there are";
    SessionLeaderCommandLine "process.session_leader.command_line" Keyword [LEADERS COMMAND_LINES] Process(SessionLeader, A::CommandLine), "these joined by spaces";
    SessionLeaderWorkingDirectory "process.session_leader.working_directory" Keyword [LEADERS] Process(SessionLeader, A::WorkingDirectory), "its /proc/PID/cwd";
    SessionLeaderInteractive "process.session_leader.interactive" Boolean [LEADERS] Process(SessionLeader, A::Interactive), "it has a controlling terminal";
    SessionLeaderUserId "process.session_leader.user.id" Keyword [LEADERS] Process(SessionLeader, A::UserId), "its effective uid";
    SessionLeaderUserName "process.session_leader.user.name" Keyword [LEADERS] Process(SessionLeader, A::UserName), "that user's name";
    SessionLeaderRealUserId "process.session_leader.real_user.id" Keyword [LEADERS] Process(SessionLeader, A::RealUserId), "its real uid";
    SessionLeaderRealUserName "process.session_leader.real_user.name" Keyword [LEADERS] Process(SessionLeader, A::RealUserName), "that user's name";
    SessionLeaderGroupId "process.session_leader.group.id" Keyword [LEADERS] Process(SessionLeader, A::GroupId), "its effective gid";
    SessionLeaderRealGroupId "process.session_leader.real_group.id" Keyword [LEADERS] Process(SessionLeader, A::RealGroupId), "its real gid";

    EntryLeaderPid "process.entry_leader.pid" Number [LEADERS] Process(EntryLeader, A::Pid), "the ancestor that init started, or that is pid 1 of its namespace";
    EntryLeaderName "process.entry_leader.name" Keyword [LEADERS] Process(EntryLeader, A::Name), "its /proc/PID/comm";
    EntryLeaderExecutable "process.entry_leader.executable" Keyword [LEADERS] Process(EntryLeader, A::Executable), "its /proc/PID/exe";
    EntryLeaderSame "process.entry_leader.same_as_process" Boolean [LEADERS] Process(EntryLeader, A::SameAsProcess), "it is the calling process itself";
    EntryLeaderArgs "process.entry_leader.args" Keyword [LEADERS COMMAND_LINES] Process(EntryLeader, A::Args), "its /proc/PID/cmdline";
    EntryLeaderArgsCount "process.entry_leader.args_count" Number [LEADERS COMMAND_LINES] Process(EntryLeader, A::ArgsCount), "how many of these there are";
    EntryLeaderCommandLine "process.entry_leader.command_line" Keyword [LEADERS COMMAND_LINES] Process(EntryLeader, A::CommandLine), "these joined by spaces";
    EntryLeaderWorkingDirectory "process.entry_leader.working_directory" Keyword [LEADERS] Process(EntryLeader, A::WorkingDirectory), "its /proc/PID/cwd";
    EntryLeaderInteractive "process.entry_leader.interactive" Boolean [LEADERS] Process(EntryLeader, A::Interactive), "it has a controlling terminal";
    EntryLeaderUserId "process.entry_leader.user.id" Keyword [LEADERS] Process(EntryLeader, A::UserId), "its effective uid";
    EntryLeaderUserName "process.entry_leader.user.name" Keyword [LEADERS] Process(EntryLeader, A::UserName), "that user's name";
    EntryLeaderRealUserId "process.entry_leader.real_user.id" Keyword [LEADERS] Process(EntryLeader, A::RealUserId), "its real uid";
    EntryLeaderRealUserName "process.entry_leader.real_user.name" Keyword [LEADERS] Process(EntryLeader, A::RealUserName), "that user's name";
    EntryLeaderGroupId "process.entry_leader.group.id" Keyword [LEADERS] Process(EntryLeader, A::GroupId), "its effective gid";
    EntryLeaderRealGroupId "process.entry_leader.real_group.id" Keyword [LEADERS] Process(EntryLeader, A::RealGroupId), "its real gid";
    EntryMetaType "process.entry_leader.entry_meta.type" Keyword [CGROUP LEADERS] Subject(T::EntryType), "container where there is a container.id, sshd where the entry leader is sshd, else init";

    ContainerId "container.id" Keyword [CGROUP] Subject(T::Container), "the container id in the cgroup's path";

    FilePath "file.path" Keyword [] Object(O::Executable), "as process.executable";
    FileName "file.name" Keyword [] Object(O::Name), "the last part of each name of the file";
    FileDirectory "file.directory" Keyword [] Object(O::Directory), "each name of the file without its last part";
    FileExtension "file.extension" Keyword [] Object(O::Extension), "what follows the last dot of file.name";
    FileType "file.type" Keyword [] Object(O::Type), "always file";
    FileMode "file.mode" Keyword [] Object(O::Mode), "the permission bits in octal, four digits: 0755";
    FileUid "file.uid" Keyword [] Object(O::Owner), "the owner of the file";
    FileOwner "file.owner" Keyword [] Object(O::OwnerName), "its name in /etc/passwd";
    FileGid "file.gid" Keyword [] Object(O::Group), "the group of the file";
    FileGroup "file.group" Keyword [] Object(O::GroupName), "its name in /etc/group";
    FileInode "file.inode" Keyword [] Object(O::Inode), "the inode number";
    FileDevice "file.device" Keyword [] Object(O::Device), "the superblock's device number, major:minor";
    FileSize "file.size" Number [] Object(O::Size), "bytes";
    FileHash "file.hash.sha256" Keyword [HASH] Object(O::Hash), "SHA-256 of the file's content";

    GainsPrivilege "shmguard.gains_privilege" Boolean [GAIN] Subject(T::GainsPrivilege), "the new image would hold a capability that its user id alone does not give";
    Unseen "shmguard.unseen" Keyword [] Attempt(Side::Unseen), "with watch.unseen: the way of a program that ran without an event: memfd, shared_memory, anonymous, detached, unmarked";
    NoNewPrivs "shmguard.privileges.no_new_privs" Boolean [PRIVILEGES] Subject(T::NoNewPrivs), "no_new_privs is set for the caller";
    PathAsTyped "shmguard.path_as_typed" Keyword [ARGUMENTS] Subject(T::Typed), "the file name given to execve, in the caller's memory";
    PathSeen "shmguard.path_as_seen" Keyword [] Object(O::Seen), "the path as the caller's mount namespace shows it: the caller can choose it";
    PathInside "shmguard.path_inside" Keyword [] Object(O::Inner), "the path inside the superblock";
    Deleted "shmguard.deleted" Boolean [] Object(O::Deleted), "the file has no name any more";
    Links "shmguard.file.links" Number [] Object(O::Links), "how many names the file has";
    Nosuid "shmguard.mount.nosuid" Boolean [] Object(O::Nosuid), "the mount is nosuid";
    FileCapabilities "shmguard.file.capabilities" Boolean [GAIN] Object(O::Capabilities), "the file carries capabilities";
    LoginUserId "shmguard.login.user.id" Keyword [LOGIN] Subject(T::LoginUser), "/proc/PID/loginuid";
    LoginUserName "shmguard.login.user.name" Keyword [LOGIN] Subject(T::LoginUserName), "its name in /etc/passwd";
    LoginSession "shmguard.login.session" Keyword [LOGIN] Subject(T::LoginSession), "/proc/PID/sessionid";
    Cgroup "shmguard.cgroup" Keyword [CGROUP] Subject(T::Cgroup), "the path of the cgroup";
    MountNamespace "shmguard.namespaces.mount" Keyword [NAMESPACES] Subject(T::MountNamespace), "the inode number of /proc/PID/ns/mnt";
    PidNamespace "shmguard.namespaces.pid" Keyword [NAMESPACES] Subject(T::PidNamespace), "the inode number of /proc/PID/ns/pid";
    UserNamespace "shmguard.namespaces.user" Keyword [NAMESPACES] Subject(T::UserNamespace), "the inode number of /proc/PID/ns/user";
}

impl Field {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The field with this name; ECS names are compared with their case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }

    /// The ECS name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The type.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.row().kind
    }

    /// The facts it is made from.
    #[must_use]
    pub fn groups(self) -> Groups {
        self.row().groups
    }

    /// The field's place in [`Self::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self as u8)
    }

    /// The values, where they are the same for every attempt.
    #[must_use]
    pub fn constants(self) -> Option<&'static [&'static str]> {
        match self.row().origin {
            Constant(texts) => Some(texts),
            Attempt(_) | Subject(_) | Process(..) | Object(_) => None,
        }
    }

    /// True where the caller chooses the value freely: a rule that needs it may deny, never allow.
    #[must_use]
    pub fn is_claimed(self) -> bool {
        self.groups().intersects(Groups::ARGUMENTS) || self == Self::PathSeen
    }

    /// True where the value is made from the file's path.
    #[must_use]
    pub fn is_path(self) -> bool {
        matches!(self.row().origin, Object(O::Executable | O::Name | O::Directory | O::Extension | O::Inner))
    }

    /// For the manual: what makes the value unknown (it is then neither equal nor unequal to anything).
    #[must_use]
    pub fn unknown_when(self) -> &'static str {
        if self.groups().intersects(Groups::ARGUMENTS) {
            return "the caller's memory cannot be read, or there is more than is read; the rule then does not match";
        }
        match self.row().origin {
            Constant(_) | Attempt(_) => "never",
            Object(O::Executable | O::Name | O::Directory | O::Extension | O::Inner) => {
                "the path inside the filesystem cannot be told; a deny rule then matches, an allow rule does not"
            }
            Object(O::Hash) => "the content cannot be read in time",
            Object(_) => "the file cannot be looked at",
            Process(..) => "that process has ended or cannot be looked at",
            Subject(_) => "the caller has ended or cannot be looked at",
        }
    }
}

impl Kind {
    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_and_place_and_names_are_unique() {
        for (place, field) in Field::ALL.iter().enumerate() {
            assert_eq!(Field::named(field.name()), Some(*field));
            assert_eq!(field.index(), place);
        }
        assert_eq!(Field::named("User.id"), None);
    }
}
