//! A program written from its end to its beginning, so that where a jump goes to is known when it is written: jumps go
//! forward only, and what several of them need, such as "allow", is there once for all.

use crate::bpf::*;
use crate::{Action, SockFilter};

/// The furthest that a conditional jump reaches over.
const REACH: usize = u8::MAX as usize;

/// Where an instruction stands, counted from the end of the program.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Place(usize);

/// The instructions so far.
#[derive(Default)]
pub struct Writer {
    /// The last one first.
    instructions: Vec<SockFilter>,
    /// The latest copy of each answer.
    answers: Vec<(Action, Place)>,
}

impl Writer {
    /// In the order in which they run.
    pub fn finish(mut self) -> Vec<SockFilter> {
        self.instructions.reverse();
        self.instructions
    }

    /// Puts an instruction before all others.
    pub fn push(&mut self, code: u16, k: u32) -> Place {
        self.put(SockFilter::new(code, 0, 0, k))
    }

    fn put(&mut self, instruction: SockFilter) -> Place {
        self.instructions.push(instruction);
        Place(self.instructions.len() - 1)
    }

    /// Instructions that the next to be written skips to get to a place.
    fn distance(&self, to: Place) -> usize {
        self.instructions.len() - 1 - to.0
    }

    /// Whether conditional jumps from here get to a place.
    pub fn near(&self, to: Place) -> bool {
        // What it takes to bring a jump's other target near may come between.
        self.distance(to) + 2 <= REACH
    }

    /// Has the next instruction to be written run on at a place. Gives what it then runs on to.
    pub fn next(&mut self, to: Place) -> Place {
        match self.distance(to) {
            0 => to,
            skip => self.push(JA, skip as u32),
        }
    }

    /// A return: one that is there, if conditional jumps from here get to it.
    pub fn answer(&mut self, action: Action) -> Place {
        if let Some((_, place)) = self.answers.iter().find(|(known, place)| *known == action && self.near(*place)) {
            return *place;
        }
        let place = self.push(RET_K, action.to_raw());
        self.answers.retain(|(known, _)| *known != action);
        self.answers.push((action, place));
        place
    }

    /// Compares A with a constant. Nothing is written if the outcome does not matter.
    pub fn test(&mut self, operation: u16, k: u32, then: Place, otherwise: Place) -> Place {
        if then == otherwise {
            return then;
        }
        let (then, otherwise) = (self.bring_near(then, 1), self.bring_near(otherwise, 0));
        // Both are in reach now.
        let (jt, jf) = (self.distance(then) as u8, self.distance(otherwise) as u8);
        self.put(SockFilter::new(jump(operation), jt, jf, k))
    }

    /// A place that a conditional jump reaches even if `more` instructions come between: the same, or a step on the way.
    fn bring_near(&mut self, to: Place, more: usize) -> Place {
        if self.distance(to) + more <= REACH {
            return to;
        }
        match self.instructions[to.0] {
            returns if returns.code == RET_K => self.put(returns),
            _ => self.push(JA, self.distance(to) as u32),
        }
    }
}
