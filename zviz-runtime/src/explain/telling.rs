//! Denials in words for a terminal, or as JSON.

use super::Tally;
use super::tally::Counted;
use crate::why::{Change, Denial, How, Risk};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write;

/// How they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In words.
    Text,
    /// An object a line.
    Json,
}

/// Where they are told.
pub struct Telling {
    form: Form,
    out: Box<dyn Write + Send>,
    // What a terminal in raw mode needs.
    end: &'static str,
}

impl Telling {
    /// `raw`: a terminal that this run has made raw.
    #[must_use]
    pub fn new(form: Form, out: Box<dyn Write + Send>, raw: bool) -> Telling {
        Telling { form, out, end: if raw { "\r\n" } else { "\n" } }
    }

    /// Tells one when it comes first.
    pub(super) fn denial(&mut self, denial: &Denial) {
        match self.form {
            // What every program tries is told at the end.
            Form::Text if denial.expected => {}
            Form::Text => self.text(&words(denial)),
            Form::Json => {
                let mut line = json!({"type": "denial"});
                merge(&mut line, json!(denial));
                self.text(&line.to_string());
            }
        }
    }

    /// Tells how often there were which.
    pub(super) fn end(&mut self, tally: &Tally) {
        match self.form {
            Form::Text => {
                let text = ending(tally);
                if !text.is_empty() {
                    self.text(&text);
                }
            }
            Form::Json => {
                let times: Vec<_> = tally.denials.iter().map(|counted| counted.times).collect();
                let line = json!({"type": "end", "times": times, "left_out": tally.left_out});
                self.text(&line.to_string());
            }
        }
    }

    // A reader that has gone away is no reason to end a run.
    fn text(&mut self, text: &str) {
        let text: String = text.lines().flat_map(|line| [line, self.end]).collect();
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

fn merge(line: &mut serde_json::Value, more: serde_json::Value) {
    if let (Some(line), serde_json::Value::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more);
    }
}

/// A denial in a few lines.
#[must_use]
pub fn words(denial: &Denial) -> String {
    let Denial { layer, call, object, result, program, rule, what, changes, .. } = denial;
    let program = program.rsplit('/').next().unwrap_or_default();
    let about: Vec<&str> = [call.as_str(), object].into_iter().filter(|word| !word.is_empty()).collect();
    let mut text = format!("zviz: denied by {layer}: ");
    // Writing to a string does not fail.
    let who = if program.is_empty() { String::new() } else { format!("{program}: ") };
    let _ = match about.is_empty() {
        true => writeln!(text, "{what}"),
        false => writeln!(text, "{who}{}: {result}", about.join(" ")).and_then(|()| writeln!(text, "  {what}")),
    };
    if let Some(rule) = rule {
        let _ = match rule.value.is_empty() {
            true => writeln!(text, "  rule: {}: {}", rule.place, rule.key),
            false => writeln!(text, "  rule: {}: {}: {}", rule.place, rule.key, rule.value),
        };
    }
    for change in changes {
        let _ = writeln!(text, "  {}", change_words(change));
    }
    text
}

fn change_words(change: &Change) -> String {
    let risk = match change.risk {
        Risk::Low => "low risk",
        Risk::Medium => "medium risk",
        Risk::High => "high risk",
    };
    let how = match &change.how {
        How::Flag(words) => {
            format!("run it with: {}", words.iter().map(|word| in_shell(word)).collect::<Vec<_>>().join(" "))
        }
        How::Yaml(text) => format!("add to the profile: {}", text.replace('\n', "; ")),
        How::Policy { of, rule } => format!("add to the policy of {of}: {rule}"),
        How::Instead { rule, with } if with.is_empty() => {
            format!("take out of the profile: {} at {}", rule.value, rule.place)
        }
        How::Instead { rule, with } => {
            let shown: Vec<&str> = with.iter().take(4).map(String::as_str).collect();
            let more = if with.len() > shown.len() { ", …" } else { "" };
            format!("write in place of {} at {}: {}{more}", rule.value, rule.place, shown.join(", "))
        }
    };
    format!("{how}   ({risk}: {})", change.why)
}

/// A word as a shell takes it.
fn in_shell(word: &str) -> String {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':' | '=' | ',' | '@' | '%' | '+');
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn ending(tally: &Tally) -> String {
    let mut text = String::new();
    let again: Vec<&Counted> =
        tally.denials.iter().filter(|counted| counted.times > 1 || counted.denial.expected).collect();
    for Counted { denial, times } in again.iter().take(20) {
        let tries = if denial.expected { " (programs do without)" } else { "" };
        let _ = writeln!(text, "zviz: {times} times: {}: {} {}{tries}", denial.layer, denial.call, denial.object);
    }
    if again.len() > 20 {
        let _ = writeln!(text, "zviz: {} more were denied more than once", again.len() - 20);
    }
    if tally.left_out > 0 {
        let _ = writeln!(text, "zviz: {} more calls were denied, which are not told", tally.left_out);
    }
    text
}

/// All of a run, for who asks later.
#[must_use]
pub fn all(tally: &Tally) -> String {
    let told = tally.denials.iter().filter(|counted| !counted.denial.expected);
    let mut text: String = told.map(|counted| words(&counted.denial)).collect();
    text.push_str(&ending(tally));
    text
}
