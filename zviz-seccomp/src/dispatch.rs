//! From ranges of numbers to a program: the architecture is asked for first, then the number by halving.
//!
//! ```text
//!     A = arch
//!     the first: A = number, a tree of comparisons whose leaves return or ask for arguments
//!     the second: …
//!     any other: answered
//! ```

use crate::bpf::*;
use crate::conditions::decide;
use crate::decision::Decision;
use crate::ranges::Range;
use crate::writer::{Place, Writer};
use crate::{Action, Arch, SockFilter};

/// The instructions. Each architecture comes with its ranges, of which there is one at least.
pub fn dispatch(archs: &[(Arch, Vec<Range>)], foreign_arch: Action) -> Vec<SockFilter> {
    let mut code = Writer::default();
    let mut entry = code.answer(foreign_arch);
    for (arch, ranges) in archs.iter().rev() {
        let mut table = Table { code: &mut code, shared: Vec::new() };
        let tree = table.tree(ranges);
        let table = if ranges.len() > 1 { load(&mut code, OFFSET_NR, tree) } else { tree };
        entry = code.test(JEQ, arch.audit(), table, entry);
    }
    load(&mut code, OFFSET_ARCH, entry);
    code.finish()
}

/// Brings a word of the call into A and runs on.
fn load(code: &mut Writer, offset: u32, then: Place) -> Place {
    code.next(then);
    code.push(LD_ABS, offset)
}

/// One architecture's part.
struct Table<'a> {
    code: &'a mut Writer,
    /// Calls that are asked the same, as `socket` and `socketpair` are, share the code.
    shared: Vec<(&'a Range, Place)>,
}

impl<'a> Table<'a> {
    fn tree(&mut self, ranges: &'a [Range]) -> Place {
        match ranges {
            [] => self.code.answer(Action::KillProcess),
            [one] => self.leaf(one),
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let parts = high[0].first;
                let (high, low) = (self.tree(high), self.tree(low));
                self.code.test(JGE, parts, high, low)
            }
        }
    }

    fn leaf(&mut self, range: &'a Range) -> Place {
        if let Decision::Answer(action) = range.decision {
            return self.code.answer(action);
        }
        let same = |known: &Range| known.arch == range.arch && known.decision == range.decision;
        if let Some((_, place)) = self.shared.iter().find(|(known, place)| same(known) && self.code.near(*place)) {
            return *place;
        }
        let place = decide(self.code, range.arch, &range.decision);
        self.shared.push((range, place));
        place
    }
}
