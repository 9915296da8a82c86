//! What the processes of a colour say of themselves: whether they are ready, and how much of their input they put aside.
//!
//! A hint beside what stands in the logs: whoever answers may forward nothing, and whoever does not may be well. So it never says that a
//! deployment is dead, and nothing is flipped by it to one that has any trouble (`decide`).
//! What this does not do: it asks nobody, and knows no address.

use crate::deployment::{Colour, Deployment};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Least number of items on which a share is judged.
const ENOUGH: u64 = 100;

/// What all processes of a colour answered, in the order of their addresses; `None`: no answer.
pub type Answers = Vec<Option<Answer>>;

/// What a process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether all of its tasks run.
    pub ready: bool,
    /// What it runs, with what it has read since it began.
    pub deployments: BTreeMap<Deployment, Items>,
}

/// How much of its input a process has read. Begins anew with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Items {
    /// All of it.
    pub read: u64,
    /// What could not be read, and was put aside.
    pub put_aside: u64,
}

/// Who knows what processes say of themselves.
pub trait Health: Send + Sync {
    /// By colour, what the newest answers are. A colour that nobody asks is not there.
    fn answers(&self) -> BTreeMap<Colour, Answers>;
}

/// Asks nobody: for those who look at logs alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unasked;

impl Health for Unasked {
    fn answers(&self) -> BTreeMap<Colour, Answers> {
        BTreeMap::new()
    }
}

/// How many processes are asked, and how many of them are ready and run the deployment.
#[must_use]
pub fn ready(answers: &Answers, deployment: Deployment) -> (usize, usize) {
    let ready = |answer: &&Answer| answer.ready && answer.deployments.contains_key(&deployment);
    (answers.len(), answers.iter().flatten().filter(ready).count())
}

/// Which share of what a deployment read between two looks it put aside; `None`: too little is known.
#[must_use]
pub fn error_share(then: &Answers, now: &Answers, deployment: Deployment) -> Option<f64> {
    let of = |answer: &Option<Answer>| answer.as_ref().and_then(|answer| answer.deployments.get(&deployment)).copied();
    // What a process had read before it began anew is not known to the new one.
    let more = |then: u64, now: u64| now.checked_sub(then).unwrap_or(now);
    let mut all = Items::default();
    for (then, now) in then.iter().zip(now).filter_map(|(then, now)| of(then).zip(of(now))) {
        all.read = all.read.saturating_add(more(then.read, now.read));
        all.put_aside = all.put_aside.saturating_add(more(then.put_aside, now.put_aside));
    }
    (all.read >= ENOUGH).then(|| all.put_aside as f64 / all.read as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLUE: Deployment = Deployment { colour: Colour::Blue, epoch: 1 };

    fn answer(ready: bool, read: u64, put_aside: u64) -> Option<Answer> {
        Some(Answer { ready, deployments: BTreeMap::from([(BLUE, Items { read, put_aside })]) })
    }

    #[test]
    fn a_share_is_of_what_came_between_two_looks_and_a_process_may_begin_anew() {
        let then = vec![answer(true, 1000, 500), answer(true, 400, 0), None];
        let now = vec![answer(true, 1300, 530), answer(true, 100, 10), answer(true, 9, 9)];
        assert_eq!(error_share(&then, &now, BLUE), Some(40.0 / 400.0));
        assert_eq!(error_share(&now, &now, BLUE), None, "nothing was read");
        assert_eq!(error_share(&then, &now, Deployment { epoch: 2, ..BLUE }), None, "another deployment");
    }

    #[test]
    fn who_runs_another_deployment_is_not_ready_as_this_one() {
        let answers = vec![answer(true, 0, 0), answer(false, 0, 0), None];
        assert_eq!(ready(&answers, BLUE), (3, 1));
        assert_eq!(ready(&answers, Deployment { epoch: 2, ..BLUE }), (3, 0));
    }
}
