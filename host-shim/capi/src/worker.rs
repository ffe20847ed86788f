//! The thread of a card. Calls for a card are done there one after the other, whichever threads
//! they come from; each waits for its answer.

use crate::answer::{Answer, answer};
use crate::boundary::guarded;
use crate::failure::Failure;
use crate::machine::Machine;
use godwit_shim::AttachedMcu;
use godwit_sim_gpu::GpuConfig;
use rustix::io::Errno;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

type Job = Box<dyn FnOnce(&mut Machine) + Send>;

/// What the thread is told.
enum Message {
    Call(Job),
    End,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Worker {
    messages: Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Powers a card on, in a thread of its own.
    pub(crate) fn start(config: GpuConfig, window: Option<AttachedMcu>) -> Result<Self, Failure> {
        let (messages, received) = channel();
        let (started, result) = answer();
        let body = move || start(config, window, started, &received);
        let thread = Builder::new().name("godwit-card".to_owned()).spawn(body)?;
        let result = result.wait().unwrap_or_else(|| Err(gone()));
        let worker = Self { messages, thread: Mutex::new(Some(thread)) };
        if let Err(failure) = result {
            worker.end();
            return Err(failure);
        }
        Ok(worker)
    }

    /// Has something done on the card, and waits for it.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Machine) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.look(move |machine| machine.with_firmware(body))
    }

    /// The same with something that takes no firmware.
    pub(crate) fn look<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Machine) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, question) = answer();
        let job: Job = Box::new(move |machine| answer.give(machine.attempt(body)));
        self.messages.send(Message::Call(job)).map_err(|_| gone())?;
        question.wait().unwrap_or_else(|| Err(gone()))
    }

    /// Powers the card off. What is asked for meanwhile is refused.
    pub(crate) fn end(&self) {
        let _ = self.messages.send(Message::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It has caught what there was to catch.
            let _ = thread.join();
        }
    }
}

fn start(
    config: GpuConfig,
    window: Option<AttachedMcu>,
    started: Answer<Result<(), Failure>>,
    messages: &Receiver<Message>,
) {
    match guarded(|| Machine::new(config, window)).and_then(|machine| machine) {
        Ok(machine) => {
            started.give(Ok(()));
            serve(machine, messages);
        }
        Err(failure) => started.give(Err(failure)),
    }
}

fn serve(mut machine: Machine, messages: &Receiver<Message>) {
    while let Ok(Message::Call(job)) = messages.recv() {
        job(&mut machine);
    }
    // A card whose state a bug has broken may have another in its end.
    let _ = guarded(|| drop(machine));
}

fn gone() -> Failure {
    Failure::new(Errno::BADF, "the device has just been closed")
}
