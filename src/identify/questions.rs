//! What can take any time to find out: texts in another process's memory, and the hash of a file.
//!
//! Owns the questions of one attempt, how each is answered, and where its answer goes. They are asked in turn
//! [aside](super::aside), while the caller reads what cannot block; a value that comes later is never written into the
//! attempt. Called by `further`.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use nix::sys::uio::pread;
use sha2::{Digest, Sha256};

use super::aside::{Running, Waited};
use super::proc::{Proc, cause};
use super::{Identifier, arguments};
use crate::event::{Arguments, Attempt, Cause, Fact, Groups, Pid, Process, Subject, Texts};
use crate::sys::lease;
use crate::sys::statx::{self, Want};

impl Identifier {
    /// Begins to answer the questions, in their order.
    pub(super) fn ask(
        &mut self,
        questions: &VecDeque<Arc<Question>>,
        deadline: Instant,
    ) -> Option<Running<Answer>> {
        if questions.is_empty() || deadline <= Instant::now() {
            return None;
        }
        let (proc, questions) = (Arc::clone(&self.proc), questions.clone());
        self.aside.begin(move |tell| questions.iter().for_each(|question| tell(question.answer(&proc))))
    }

    /// Writes the answers into the attempt as they come. A question that hangs has half of the time that is left, so
    /// that it does not take those behind it with it: they are asked again on another thread.
    pub(super) fn hear(
        &mut self,
        mut questions: VecDeque<Arc<Question>>,
        mut running: Option<Running<Answer>>,
        attempt: &mut Attempt,
        deadline: Instant,
    ) {
        while let Some(question) = questions.pop_front() {
            let until = if questions.is_empty() { deadline } else { half(deadline) };
            let waited = running.as_ref().map_or(Waited::Late, |running| running.wait(until));
            if let Waited::Found(answer) = waited {
                question.what.write(answer, attempt);
                continue;
            }
            question.what.write(Answer::Not(Cause::Late), attempt);
            drop(running.take());
            running = self.ask(&questions, deadline);
        }
        if let Some(running) = running {
            self.aside.take_back(running);
        }
    }
}

/// One question whose answer can take any time.
#[derive(Debug)]
pub(super) struct Question {
    what: What,
    how: How,
}

/// The fact that it is about.
#[derive(Clone, Copy, Debug)]
enum What {
    Arguments,
    /// The command line of the calling image.
    Previous,
    /// The command line of one other process.
    Line(Relative),
    Hash,
}

#[derive(Clone, Copy, Debug)]
enum Relative {
    Parent,
    Group,
    Session,
    Entry,
}

#[derive(Debug)]
enum How {
    Arguments { thread: i32, environment: bool },
    Line(i32),
    Hash { file: OwnedFd, deadline: Instant },
}

#[derive(Debug)]
pub(super) enum Answer {
    Arguments(Arguments),
    Line(Texts),
    Hash([u8; 32]),
    Not(Cause),
}

impl Question {
    fn answer(&self, proc: &Proc) -> Answer {
        let answer = match &self.how {
            How::Arguments { thread, environment } => {
                arguments::read(proc, *thread, *environment).map(Answer::Arguments)
            }
            How::Line(id) => {
                let mut text = Vec::new();
                let read = proc.read_all(*id, "cmdline", arguments::BYTES, &mut text);
                read.map(|()| Answer::Line(arguments::split(&text)))
            }
            How::Hash { file, deadline } => sha256(file, *deadline).map(Answer::Hash),
        };
        answer.unwrap_or_else(Answer::Not)
    }
}

impl What {
    fn write(self, answer: Answer, attempt: &mut Attempt) {
        let Attempt { subject, object, .. } = attempt;
        match (self, answer) {
            (Self::Arguments, Answer::Arguments(arguments)) => subject.arguments = Fact::Known(arguments),
            (Self::Arguments, Answer::Line(args)) => {
                subject.arguments = Fact::Known(Arguments { args, ..Arguments::default() });
            }
            (Self::Arguments, Answer::Not(cause)) => subject.arguments = Fact::Unknown(cause),
            (Self::Hash, Answer::Hash(hash)) => object.sha256 = Fact::Known(hash),
            (Self::Hash, Answer::Not(cause)) => object.sha256 = Fact::Unknown(cause),
            (Self::Previous | Self::Line(_), answer) => {
                let args = match answer {
                    Answer::Line(line) => Fact::Known(line),
                    Answer::Not(cause) => Fact::Unknown(cause),
                    Answer::Arguments(_) | Answer::Hash(_) => return,
                };
                let image = match self {
                    Self::Previous => subject.previous.known_mut(),
                    Self::Line(relative) => {
                        relative.of(subject).known_mut().map(|process| &mut process.image)
                    }
                    Self::Arguments | Self::Hash => None,
                };
                // It was read for the same process that is described here, or for none.
                if let Some(image) = image.filter(|image| image.args.is_unread()) {
                    image.args = args;
                }
            }
            (Self::Arguments | Self::Hash, _) => {}
        }
    }
}

impl Relative {
    fn of(self, subject: &mut Subject) -> &mut Fact<Process> {
        match self {
            Self::Parent => &mut subject.parent,
            Self::Group => &mut subject.group_leader,
            Self::Session => &mut subject.session_leader,
            Self::Entry => &mut subject.entry_leader,
        }
    }
}

/// The questions of the groups that can block. What cannot be asked is made unknown at once.
pub(super) fn of_attempt(
    groups: Groups,
    environment: bool,
    file: BorrowedFd<'_>,
    attempt: &mut Attempt,
    deadline: Instant,
) -> VecDeque<Arc<Question>> {
    let awaits_exec = attempt.awaits_exec();
    let Attempt { subject, object, .. } = attempt;
    let parent = subject.parent_pid.known().map(|Pid(id)| *id);
    let mut questions = VecDeque::new();
    let mut push = |what, how| questions.push_back(Arc::new(Question { what, how }));
    match (&subject.thread, groups.contains(Groups::ARGUMENTS)) {
        (_, false) => {}
        (Fact::Known(Pid(id)), true) if !awaits_exec => push(What::Arguments, How::Line(*id)),
        (Fact::Known(Pid(id)), true) => {
            push(What::Arguments, How::Arguments { thread: *id, environment });
        }
        (Fact::Unknown(cause), true) => subject.arguments = Fact::Unknown(*cause),
        (Fact::Absent | Fact::Unread, true) => subject.arguments = Fact::Unknown(Cause::Unsteady),
    }
    if groups.contains(Groups::COMMAND_LINES) {
        if let Some(Pid(id)) = subject.thread.known() {
            push(What::Previous, How::Line(*id));
        }
        if let Some(id) = parent {
            push(What::Line(Relative::Parent), How::Line(id));
        }
    }
    if groups.contains(Groups::HASH) {
        match file.try_clone_to_owned() {
            Ok(file) => push(What::Hash, How::Hash { file, deadline }),
            Err(error) => object.sha256 = Fact::Unknown(cause(error)),
        }
    }
    questions
}

/// The command lines of the leaders that are known.
pub(super) fn about_leaders(subject: &Subject) -> VecDeque<Arc<Question>> {
    [
        (Relative::Group, &subject.group_leader),
        (Relative::Session, &subject.session_leader),
        (Relative::Entry, &subject.entry_leader),
    ]
    .into_iter()
    .filter_map(|(relative, leader)| {
        let leader = leader.known().filter(|leader| leader.image.args.is_unread())?;
        let Pid(id) = leader.pid.known()?;
        Some(Arc::new(Question { what: What::Line(relative), how: How::Line(*id) }))
    })
    .collect()
}

/// SHA-256 of the content as it is now. From before it is read nobody can open the file for writing, as far as the kernel
/// grants that: whoever lets something run because of its content asks [`lease::is_held`] afterwards.
fn sha256(file: &OwnedFd, deadline: Instant) -> Result<[u8; 32], Cause> {
    let _refused = lease::take(file.as_fd());
    let size = statx::of(file.as_fd(), Want::Nothing).map_err(cause)?.size;
    // A sparse file can be of any size at no cost to its owner.
    if size > HASHED {
        return Err(Cause::TooLong);
    }
    let mut hash = Sha256::new();
    // Most programs are small, and clearing memory for the largest costs more than hashing them.
    let mut block = vec![0; usize::try_from(size).unwrap_or(BLOCK).clamp(1, BLOCK)];
    let mut offset = 0;
    loop {
        let read = pread(file, &mut block, offset).map_err(|errno| cause(errno.into()))?;
        let Some(content) = block.get(..read).filter(|content| !content.is_empty()) else { break };
        hash.update(content);
        offset = i64::try_from(read).ok().and_then(|read| offset.checked_add(read)).ok_or(Cause::TooLong)?;
        // It grows while we read.
        if offset.unsigned_abs() > HASHED {
            return Err(Cause::TooLong);
        }
        if Instant::now() >= deadline {
            return Err(Cause::Late);
        }
    }
    Ok(hash.finalize().into())
}

fn half(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

/// The largest file that is hashed.
const HASHED: u64 = 64 << 20;
const BLOCK: usize = 128 * 1024;
