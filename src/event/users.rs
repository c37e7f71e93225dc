//! The names of users and groups, from the text of passwd(5) and group(5).
//!
//! Read once at load and never on the way of an answer: NSS may load libraries and talk to daemons that are
//! themselves waiting for our answer. A user that the local files do not name has no name here.

use super::{Gid, Uid};

/// Names by id. The first line that gives an id wins, as in getpwuid(3).
#[derive(Clone, Debug, Default)]
pub struct Users {
    users: Vec<(u32, Box<[u8]>)>,
    groups: Vec<(u32, Box<[u8]>)>,
}

impl Users {
    /// The table from the contents of /etc/passwd and /etc/group. Lines that are not entries are passed over.
    #[must_use]
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        Self { users: entries(passwd), groups: entries(group) }
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self, uid: Uid) -> Option<&[u8]> {
        lookup(&self.users, uid.0)
    }

    /// The group's name.
    #[must_use]
    pub fn group(&self, gid: Gid) -> Option<&[u8]> {
        lookup(&self.groups, gid.0)
    }

    /// The id of the user with this name.
    #[must_use]
    pub fn uid(&self, name: &[u8]) -> Option<Uid> {
        self.users.iter().find(|(_, known)| &**known == name).map(|(id, _)| Uid(*id))
    }

    /// The id of the group with this name.
    #[must_use]
    pub fn gid(&self, name: &[u8]) -> Option<Gid> {
        self.groups.iter().find(|(_, known)| &**known == name).map(|(id, _)| Gid(*id))
    }
}

/// Both files hold `name:password:id:...`.
fn entries(text: &[u8]) -> Vec<(u32, Box<[u8]>)> {
    let mut table: Vec<_> = text.split(|byte| *byte == b'\n').filter_map(entry).collect();
    // A stable sort keeps the first line of an id in front; dedup then keeps only that.
    table.sort_by_key(|(id, _)| *id);
    table.dedup_by_key(|(id, _)| *id);
    table
}

fn entry(line: &[u8]) -> Option<(u32, Box<[u8]>)> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let id = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    Some((id, name.into()))
}

fn lookup(table: &[(u32, Box<[u8]>)], id: u32) -> Option<&[u8]> {
    let index = table.binary_search_by_key(&id, |(id, _)| *id).ok()?;
    table.get(index).map(|(_, name)| &**name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_an_id_wins_and_rubbish_is_passed_over() {
        let users = Users::parse(
            b"root:x:0:0::/:/bin/sh\n\n#c\ntoor:x:0:0::/:\nbad:x:no:\n:x:5:\nwww:x:33:33::/:",
            b"",
        );
        assert_eq!(users.user(Uid(0)), Some(b"root".as_slice()));
        assert_eq!(users.user(Uid(33)), Some(b"www".as_slice()));
        assert_eq!(users.user(Uid(5)), None);
        assert_eq!(users.uid(b"www"), Some(Uid(33)));
        assert_eq!(users.group(Gid(0)), None);
    }
}
