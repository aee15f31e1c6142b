//! What is decided for one call: an answer, or questions about its arguments.

use crate::{Action, Compare};

/// A decision by argument.
#[derive(Clone, PartialEq, Debug)]
pub enum Decision {
    /// The same for all arguments.
    Answer(Action),
    /// The first arm whose comparisons all hold, else the last.
    Arms(Vec<(Vec<Compare>, Decision)>, Box<Decision>),
}

impl Decision {
    /// The stricter of both, for all arguments: this one's questions, and behind each of its answers the other's.
    pub fn and(self, other: &Decision) -> Decision {
        match self {
            Decision::Answer(action) => other.clone().at_most(action),
            Decision::Arms(arms, otherwise) => {
                let arms = arms.into_iter().map(|(compares, then)| (compares, then.and(other))).collect();
                Decision::Arms(arms, Box::new(otherwise.and(other))).simpler()
            }
        }
    }

    /// Where both are equally strict `limit` is the answer: it belongs to the policy that comes first.
    fn at_most(self, limit: Action) -> Decision {
        match self {
            Decision::Answer(action) => Decision::Answer(limit.stricter(action)),
            Decision::Arms(arms, otherwise) => {
                let arms = arms.into_iter().map(|(compares, then)| (compares, then.at_most(limit))).collect();
                Decision::Arms(arms, Box::new(otherwise.at_most(limit))).simpler()
            }
        }
    }

    /// Questions that all have one answer are not asked.
    fn simpler(self) -> Decision {
        match self {
            Decision::Arms(arms, otherwise) if arms.iter().all(|(_, then)| *then == *otherwise) => *otherwise,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Op;

    fn arms(index: u8, then: Action, otherwise: Action) -> Decision {
        let compare = Compare { index, op: Op::Eq, value: 1 };
        Decision::Arms(vec![(vec![compare], Decision::Answer(then))], Box::new(Decision::Answer(otherwise)))
    }

    #[test]
    fn questions_of_the_second_follow_permissive_answers_of_the_first() {
        let (first, second) = (Action::Errno(1), Action::Errno(2));
        let both = arms(0, Action::Allow, first).and(&arms(1, Action::Allow, second));
        let compare = Compare { index: 0, op: Op::Eq, value: 1 };
        let expected = Decision::Arms(
            vec![(vec![compare], arms(1, Action::Allow, second))],
            // Equally strict: the first policy's answer, and no question.
            Box::new(Decision::Answer(first)),
        );
        assert_eq!(both, expected);
        let never = Decision::Answer(Action::KillProcess);
        assert_eq!(arms(0, Action::Allow, first).and(&never), never);
        assert_eq!(never.clone().and(&arms(0, Action::Allow, first)), never);
    }
}
