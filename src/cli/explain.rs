//! `shmguard explain`: what would be decided for a file and a user, and why.

use super::effective::{self, Which};
use super::exit;
use super::words::{plain, print};
use crate::daemon::load;
use crate::decide::explain::{Explained, Held, RuleExplained, Word, explain};
use crate::decide::{Document, rule};
use crate::event::{Field, FileFacts, Timestamp, Uid, Users};
use crate::policy::Generation;
use crate::policy::cases::Verdict;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Say what would be decided for a file and a user, and why
///
/// Shows every rule up to the one that decides, with the truth of each part of its condition. What is not told with
/// these options is unknown, except that the file is taken to give no privileges. A file that exists is looked at. What
/// is judged is where the path leads, through links and `..`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shmguard explain /dev/shm/kdmtmpflush
  shmguard explain /dev/shm/x --user www-data --parent /usr/sbin/nginx
  shmguard explain /run/x --field 'process.parent.command_line=/usr/bin/runc init'")]
pub struct Args {
    /// The file that would be executed; it need not exist
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The user that it would run as: a name or a number [default: root]
    #[arg(long, value_name = "U")]
    user: Option<String>,
    /// The parent process's program
    #[arg(long, value_name = "EXE")]
    parent: Option<String>,
    /// Another field and its value; may be given more than once, also for several values of one field
    #[arg(long = "field", value_name = "NAME=VALUE")]
    fields: Vec<String>,
    /// Ask exactly these policy files
    #[arg(long, value_name = "FILE", num_args = 1)]
    policy: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Explains and prints. The exit status of the command.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    explained(args, out, err).err().unwrap_or(exit::DONE)
}

fn explained(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), u8> {
    let config = effective::config(&args.which, err)?;
    let generation = if args.policy.is_empty() {
        effective::configured(&config, err)?
    } else {
        effective::exactly(&args.policy, false, err)?
    };
    let users = load::users();
    let spellings = load::spellings(&args.path, &config);
    let mut question = Question { document: Document::question(), assumed: Vec::new(), set_uid: None };
    for name in spellings.names.iter() {
        question.document.put(Field::ProcessExecutable, name);
    }
    let wrong = |message: String, err: &mut dyn Write| {
        let _written = writeln!(err, "shmguard: {message}");
        exit::USAGE
    };
    question.file(&args.path, &users);
    let uid = question.user(args.user.as_deref(), &users).map_err(|message| wrong(message, err))?;
    if let Some(parent) = &args.parent {
        question.document.put(Field::ParentExecutable, parent.as_bytes());
        let name = parent.rsplit('/').next().unwrap_or(parent);
        question.document.put(Field::ParentName, name.as_bytes());
    }
    for field in &args.fields {
        question.field(field).map_err(|message| wrong(message, err))?;
    }
    question.assume();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
    let mut answer = Answer::of(&generation, now, &question, spellings.watched, uid);
    answer.led_from(&args.path);
    if args.json {
        let json = serde_json::to_string_pretty(&answer).unwrap_or_default();
        return print(out, &format!("{json}\n"));
    }
    print(out, &answer.readable())
}

/// What is known of the exec that is asked about.
struct Question {
    document: Document,
    assumed: Vec<String>,
    /// The owner, where the file is set-uid.
    set_uid: Option<Uid>,
}

impl Question {
    /// What the file itself says, where there is one.
    fn file(&mut self, path: &Path, users: &Users) {
        let Some(facts) = load::file(path) else { return };
        let FileFacts { device, inode, mode, uid, gid, size, links, .. } = facts;
        let mut put = |field, text: String| self.document.put(field, text.as_bytes());
        put(Field::FileInode, inode.to_string());
        put(Field::FileDevice, device.to_string());
        put(Field::FileMode, format!("{:04o}", mode & 0o7777));
        put(Field::FileUid, uid.to_string());
        put(Field::FileGid, gid.to_string());
        put(Field::FileSize, size.to_string());
        put(Field::Links, links.to_string());
        put(Field::FileType, "file".to_owned());
        for (field, name) in [(Field::FileOwner, users.user(uid)), (Field::FileGroup, users.group(gid))] {
            self.document.put_nothing(field);
            if let Some(name) = name {
                self.document.put(field, name);
            }
        }
        if facts.is_set_uid() {
            self.set_uid = Some(uid);
            self.assumed.push(format!("the set-uid bit of the file counts: it would run as uid {uid}"));
        }
    }

    /// The user after the exec. A set-uid file makes its owner of it.
    fn user(&mut self, user: Option<&str>, users: &Users) -> Result<Uid, String> {
        let asked = match user {
            None => Uid::ROOT,
            Some(text) => match (text.parse(), users.uid(text.as_bytes())) {
                (Ok(uid), _) => Uid(uid),
                (Err(_), Some(uid)) => uid,
                (Err(_), None) => return Err(format!("there is no user `{}` in /etc/passwd", plain(text))),
            },
        };
        let after = match self.set_uid {
            Some(owner) if asked != Uid::ROOT => owner,
            _ => asked,
        };
        for (id, name, uid) in [
            (Field::UserId, Field::UserName, after),
            (Field::ProcessRealUserId, Field::ProcessRealUserName, asked),
        ] {
            self.document.put(id, uid.to_string().as_bytes());
            self.document.put_nothing(name);
            if let Some(text) = users.user(uid) {
                self.document.put(name, text);
            }
        }
        Ok(after)
    }

    fn field(&mut self, text: &str) -> Result<(), String> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(format!("`{}` is not NAME=VALUE", plain(text)));
        };
        let Some(field) = Field::named(name) else {
            return Err(format!("`{}` is no field; shmguard-rules(5) lists them", plain(name)));
        };
        self.document.put(field, value.as_bytes());
        Ok(())
    }

    /// What is so for nearly every file is taken to be so, and said.
    fn assume(&mut self) {
        for field in [Field::GainsPrivilege, Field::Deleted] {
            if !self.document.is_put(field) {
                self.document.put(field, b"false");
                self.assumed.push(format!("{} is false", field.name()));
            }
        }
    }
}

#[derive(Serialize)]
struct Answer {
    /// The path that was asked about, where it is none of the file's names.
    #[serde(skip)]
    from: Option<String>,
    path: Vec<String>,
    watched: bool,
    user: u32,
    decision: &'static str,
    rule: Option<String>,
    trial: Option<String>,
    assumed: Vec<String>,
    rules: Vec<RuleExplained>,
}

impl Answer {
    fn of(generation: &Generation, now: Timestamp, question: &Question, watched: bool, user: Uid) -> Self {
        let ruling = rule(generation, now, &question.document);
        let mut rules = explain(generation, now, &question.document);
        if ruling.verdict != Verdict::Unknown
            && let Some(decided) = ruling.rule
            && let Some(last) = rules.iter().position(|rule| rule.id == decided.id)
        {
            rules.truncate(last + 1);
        }
        Self {
            from: None,
            path: question.document.names(),
            watched,
            user: user.0,
            decision: ruling.verdict.name(),
            rule: ruling.rule.map(|about| about.id.clone()),
            trial: ruling.trial.map(|about| about.id.clone()),
            assumed: question.assumed.clone(),
            rules,
        }
    }

    fn led_from(&mut self, path: &Path) {
        let path = path.to_string_lossy();
        self.from = (!self.path.iter().any(|name| *name == path)).then(|| path.into_owned());
    }

    fn readable(&self) -> String {
        let mut text = String::new();
        if let Some(from) = &self.from {
            text.push_str(&format!("{} leads to ", plain(from)));
        }
        let path = self.path.iter().map(|path| plain(path)).collect::<Vec<_>>().join(" = ");
        text.push_str(&format!("{path}, run with user.id {}\n", self.user));
        if !self.watched {
            text.push_str("This is not in a watched directory: the guard would not be asked.\n");
        }
        for assumed in &self.assumed {
            text.push_str(&format!("Assumed: {}.\n", plain(assumed)));
        }
        for rule in &self.rules {
            text.push('\n');
            text.push_str(&self.readable_rule(rule));
        }
        text.push_str(&match (self.decision, &self.rule) {
            ("unknown", Some(rule)) => {
                format!("\nunknown: rule {rule} hangs on what is not known; on_unknown decides (deny by default)\n")
            }
            (decision, Some(rule)) => format!("\n{decision}, by rule {rule}\n"),
            (decision, None) => format!("\n{decision}: no rule matches\n"),
        });
        if let Some(trial) = &self.trial {
            text.push_str(&format!("on trial: rule {trial} matches and is only recorded\n"));
        }
        text
    }

    fn readable_rule(&self, rule: &RuleExplained) -> String {
        let effect = rule.effect;
        let mode = rule.mode.map(|mode| format!(", mode {mode}")).unwrap_or_default();
        let outcome = match rule.outcome {
            _ if rule.expired => "has ended",
            Word::True if self.rule.as_deref() == Some(&rule.id) => "matches, and decides",
            Word::True => "matches",
            Word::False => "does not match",
            Word::Unknown | Word::Null => "cannot be judged",
        };
        let mut text = format!("{}. {} ({effect}{mode}) {outcome}\n", rule.number, rule.id);
        tree(&rule.condition, 1, &mut text);
        text
    }
}

fn tree(part: &Explained, depth: usize, text: &mut String) {
    let what = part.join.map_or_else(|| plain(&part.text), str::to_owned);
    let held: Vec<_> = part.fields.iter().map(shown).collect();
    let held = if held.is_empty() { String::new() } else { format!("    [{}]", held.join("; ")) };
    text.push_str(&format!("{:<9}{}{what}{held}\n", format!("  {}", part.truth.name()), "  ".repeat(depth)));
    for inner in &part.parts {
        tree(inner, depth + 1, text);
    }
}

/// A field with what it holds, the first few values of many.
fn shown(held: &Held) -> String {
    const FEW: usize = 4;
    let mut values: Vec<_> = held.values.iter().take(FEW).map(|value| plain(value)).collect();
    if held.values.len() > FEW {
        values.push(format!("and {} more", held.values.len() - FEW));
    }
    let note = held.note.map(str::to_owned);
    let all: Vec<_> = note.into_iter().chain(values).collect();
    format!("{}: {}", held.field, all.join(", "))
}
