//! The control socket's thread, and what it answers: the state, a reload, another mode.
//!
//! May wait for the keeper, and so for a reload; never on the way of an answer to the kernel.

use std::io;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error::{StartError, say, system};
use super::keeper::keep;
use super::status::Inside;
use super::thread::spawn;
use crate::control::protocol::{Code, Refusal, Reply, Request};
use crate::control::server::{self, Limits, Listener, Peer};

/// The control thread, and the descriptor whose closing ends it.
pub(super) struct ControlThread {
    _thread: JoinHandle<()>,
    _stop: io::PipeWriter,
}

/// Serves the control socket until the returned value is dropped. The thread is not waited for: a client in the middle
/// of an answer must not hold up a stop. Without a listener, tries again each second to have one.
pub(super) fn serve(
    listener: Option<Listener>,
    socket: PathBuf,
    inside: Inside,
) -> Result<ControlThread, StartError> {
    let (ended, stop) = io::pipe().map_err(system("make a pipe"))?;
    let thread = spawn("control", move || {
        let listener = listener.unwrap_or_else(|| {
            loop {
                thread::sleep(Duration::from_secs(1));
                if let Ok(listener) = Listener::bind(&socket) {
                    return listener;
                }
            }
        });
        let served = server::serve(listener, Limits::default(), ended.into(), |request, peer| {
            answer(&inside, &request, peer)
        });
        if let Err(error) = served {
            say(&format!("shmguard: the control socket is closed: {error}"));
        }
    })?;
    Ok(ControlThread { _thread: thread, _stop: stop })
}

/// Answers one request of a peer that the server has let in.
fn answer(inside: &Inside, request: &Request, peer: Peer) -> Reply {
    match request {
        Request::Status => Reply::Status { status: Box::new(inside.status()) },
        Request::Reload => match keep(&inside.keeper).reload() {
            Ok(message) => Reply::Done { message },
            Err(problems) => {
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                Reply::Error(Refusal::new(Code::Failed, problems.join("\n")))
            }
        },
        Request::Mode { mode, for_seconds } => {
            let pid = peer.pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
            let by = format!("control socket, uid {}, pid {pid}", peer.uid);
            keep(&inside.keeper).set_mode(*mode, for_seconds.map(Duration::from_secs), &by);
            let until = for_seconds.map_or_else(String::new, |seconds| format!(" for {seconds} seconds"));
            Reply::Done { message: format!("the mode is {mode}{until}") }
        }
    }
}
