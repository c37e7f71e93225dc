//! The queue and the feeder with outlets that do as they are told.

use super::*;
use std::sync::mpsc;

/// Sends each summary on, after an answer from the test.
struct Scripted {
    answers: mpsc::Receiver<Result<(), Errno>>,
    sent: mpsc::Sender<Vec<u8>>,
}

impl Outlet for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn send(&mut self, parcel: &Parcel) -> Result<(), Errno> {
        let answer = self.answers.recv().unwrap_or(Ok(()));
        if answer.is_ok() {
            self.sent.send(parcel.summary.clone()).unwrap_or_default();
        }
        answer
    }
}

fn push(queue: &Queue, text: &str) {
    queue.push(|parcel| parcel.summary.extend_from_slice(text.as_bytes()));
}

/// Feeds what is in `queue` to an outlet that answers as told; gives what it got, its count, and what was told.
fn feed(queue: &Queue, answers: &[Result<(), Errno>]) -> (Vec<String>, Arc<Count>, Vec<String>) {
    let (answer, answers_in) = mpsc::channel();
    answers.iter().for_each(|one| answer.send(*one).unwrap());
    drop(answer);
    let (sent, got) = mpsc::channel();
    let feeder = Feeder::new(vec![Box::new(Scripted { answers: answers_in, sent })]);
    let count = feeder.counts().remove(0);
    let told = Mutex::new(Vec::new());
    queue.stop();
    feeder.run(queue, &|notice| told.lock().unwrap().push(format!("{notice:?}")));
    let got = got.iter().map(|text| String::from_utf8(text).unwrap()).collect();
    (got, count, told.into_inner().unwrap())
}

#[test]
fn parcels_come_in_order_and_the_ring_goes_round() {
    let queue = Queue::new(4);
    for round in 0..3 {
        for text in ["a", "b", "c"] {
            push(&queue, &format!("{text}{round}"));
        }
        let (got, count, told) = feed(&queue, &[]);
        assert_eq!(got, ["a", "b", "c"].map(|text| format!("{text}{round}")));
        assert_eq!(count.written.load(Ordering::Relaxed), 3);
        assert!(told.is_empty(), "{told:?}");
    }
}

#[test]
fn what_finds_no_room_is_counted_and_told_and_nobody_waits() {
    let queue = Queue::new(2);
    ["a", "b", "c", "d", "e"].iter().for_each(|text| push(&queue, text));
    let (got, count, told) = feed(&queue, &[]);
    assert_eq!(got, ["a", "b"]);
    assert_eq!(count.lost.load(Ordering::Relaxed), 3);
    assert!(told[0].contains("SinkLost") && told[0].contains("count: 3"), "{told:?}");
    assert!(told[1].contains("SinkBack") && told[1].contains("lost: 3"), "{told:?}");
}

#[test]
fn an_outlet_that_made_us_wait_in_vain_is_left_alone_for_a_while() {
    let queue = Queue::new(8);
    ["a", "b", "c"].iter().for_each(|text| push(&queue, text));
    let (got, count, told) = feed(&queue, &[Err(Errno::EAGAIN)]);
    assert!(got.is_empty(), "{got:?}");
    assert_eq!(count.lost.load(Ordering::Relaxed), 3);
    assert_eq!(told.len(), 1, "told once: {told:?}");
}

#[test]
fn an_outlet_that_is_absent_is_tried_each_time_and_its_return_is_told() {
    let queue = Queue::new(8);
    ["a", "b", "c", "d"].iter().for_each(|text| push(&queue, text));
    let absent = Err(Errno::ENOENT);
    let (got, count, told) = feed(&queue, &[absent, absent, Ok(()), absent]);
    assert_eq!(got, ["c"]);
    assert_eq!(count.lost.load(Ordering::Relaxed), 3);
    assert_eq!(count.errno.load(Ordering::Relaxed), libc::ENOENT);
    assert!(told[0].contains("SinkLost") && told[0].contains("No such file"), "{told:?}");
    assert!(told[1].contains("SinkBack") && told[1].contains("lost: 2"), "{told:?}");
    assert_eq!(told.len(), 2, "the next loss came too soon to be told again: {told:?}");
}

#[test]
fn a_notice_about_an_outlet_is_not_sent_to_it() {
    let queue = Queue::new(2);
    queue.push(|parcel| parcel.about = Some("scripted"));
    let (got, count, _told) = feed(&queue, &[]);
    assert!(got.is_empty());
    assert_eq!(count.lost.load(Ordering::Relaxed), 0);
}

#[test]
fn a_buffer_that_held_a_long_text_gives_its_memory_back() {
    let queue = Queue::new(1);
    for _ in 0..2 {
        push(&queue, &"x".repeat(100_000));
        feed(&queue, &[]);
    }
    push(&queue, "x");
    let mut parcel = Parcel::default();
    queue.pop(&mut parcel, Some(Duration::ZERO));
    assert!(parcel.summary.capacity() <= KEPT, "{}", parcel.summary.capacity());
}
