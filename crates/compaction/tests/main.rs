//! Decisions of compaction, as scripts: each file of `testdata` holds trees and what is picked from
//! them. `REWRITE=1 cargo test -p alluvium-compaction` writes down what is picked now, for a look at
//! the difference.

#[path = "main/script.rs"]
mod script;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use alluvium_base::{Bytes, FileNumber, Seq};
use alluvium_compaction::{
    CompactionOptions, Pick, PickContext, debt_bytes, level_targets, next_due_ms, pick,
    pick_manual, scores,
};
use alluvium_manifest::{Level, TableMeta, Version};

/// A tree and what stands around it, as the commands so far have made them.
struct State {
    version: Version,
    options: CompactionOptions,
    busy: BTreeSet<FileNumber>,
    now_ms: u64,
    oldest_snapshot: Option<Seq>,
    relieves_reads: bool,
    next_number: u64,
}

impl Default for State {
    fn default() -> Self {
        let options = CompactionOptions {
            l0_trigger: 4,
            level_base_bytes: 1_000,
            level_multiplier: 10,
            target_file_size: 1_000,
            max_compaction_bytes: 25_000,
        };
        Self {
            version: Version::default(),
            options,
            busy: BTreeSet::new(),
            now_ms: 1_000_000,
            oldest_snapshot: None,
            relieves_reads: false,
            next_number: 1_000,
        }
    }
}

#[test]
fn picks_are_as_written_down() {
    script::run("pick.txt", &mut State::default(), State::command);
}

#[test]
fn garbage_is_picked_as_written_down() {
    script::run("garbage.txt", &mut State::default(), State::command);
}

#[test]
fn manual_steps_are_as_written_down() {
    script::run("manual.txt", &mut State::default(), State::command);
}

impl State {
    fn command(&mut self, command: &str, arguments: &[&str], input: &[&str]) -> String {
        match command {
            "tree" => {
                *self = Self::default();
                let tables: Vec<_> = input.iter().map(|line| parse_table(line)).collect();
                match Version::default().apply(&[], &tables) {
                    Ok(version) => self.version = version,
                    Err(what) => return what,
                }
                self.shape()
            }
            "set" => self.set(arguments),
            "pick" => self.step(self.pick(), arguments),
            "manual" => {
                let end = |at: usize| {
                    arguments.get(at).filter(|key| **key != "-").map(|key| key.as_bytes())
                };
                let (version, options) = (&self.version, &self.options);
                let done = FileNumber(1_000);
                let found = pick_manual(version, options, end(0), end(1), done, &self.busy);
                self.step(found, &arguments[2..])
            }
            "due" => format!("{:?}", next_due_ms(&self.version, self.now_ms)),
            other => panic!("no command {other}"),
        }
    }

    fn set(&mut self, arguments: &[&str]) -> String {
        for argument in arguments {
            let (name, value) = argument.split_once('=').expect("name=value");
            let number = || value.parse().expect("a number");
            match name {
                "busy" => {
                    let numbers = value.split(',').filter(|number| !number.is_empty());
                    self.busy = numbers.map(|n| FileNumber(n.parse().expect("a number"))).collect();
                }
                "now" => self.now_ms = number(),
                "snapshot" => self.oldest_snapshot = value.parse().ok().map(Seq::new),
                "reads" => self.relieves_reads = value == "suffer",
                "max" => self.options.max_compaction_bytes = number(),
                other => panic!("no setting {other}"),
            }
        }
        String::new()
    }

    fn pick(&self) -> Option<Pick> {
        let context = PickContext {
            busy: &self.busy,
            now_ms: self.now_ms,
            oldest_snapshot: self.oldest_snapshot,
            relieves_reads: self.relieves_reads,
        };
        pick(&self.version, &self.options, &context)
    }

    /// Shows a pick and, as `arguments` say, lets it run on (`start`) or to its end (`run`), after
    /// which one table stands for its inputs.
    fn step(&mut self, found: Option<Pick>, arguments: &[&str]) -> String {
        let Some(pick) = found else { return "none".to_owned() };
        let mut shown = describe(&pick);
        match arguments {
            [] => {}
            ["start"] => self.busy.extend(pick.numbers()),
            ["run"] => {
                self.run(&pick);
                write!(shown, "\n{}", self.shape()).expect("strings take everything");
            }
            other => panic!("no way to step {other:?}"),
        }
        shown
    }

    fn run(&mut self, pick: &Pick) {
        let removed: Vec<_> =
            pick.inputs.iter().map(|(level, table)| (*level, table.number)).collect();
        let tables = || pick.inputs.iter().map(|(_, table)| table);
        let mut output = TableMeta::clone(&pick.inputs[0].1);
        if !pick.is_trivial_move {
            output.number = FileNumber(self.next_number);
            self.next_number += 1;
            output.size_bytes = pick.input_bytes();
            output.smallest = tables().map(|table| table.smallest.clone()).min().expect("some");
            output.largest = tables().map(|table| table.largest.clone()).max().expect("some");
            (output.tombstone_count, output.expiring_count) = (0, 0);
            (output.earliest_expiry_ms, output.latest_expiry_ms) = (None, None);
        }
        let added = [(pick.to, Arc::new(output))];
        self.version = self.version.apply(&removed, &added).expect("outputs fit");
    }

    fn shape(&self) -> String {
        let targets = level_targets(&self.version, &self.options);
        let scores = scores(&self.version, &self.options);
        let debt = debt_bytes(&self.version, &self.options);
        let mut shown = format!("base {} debt {debt}\n", targets.base_level);
        for (level, tables) in self.version.levels().filter(|(_, tables)| !tables.is_empty()) {
            let (bytes, score) = (self.version.level_bytes(level), scores[level.index()]);
            let target = targets.target_bytes[level.index()];
            write!(shown, "{level} {bytes}/{target} score {score:.2}:").expect("a string");
            for table in tables {
                let (first, last) = (table.smallest.escape_ascii(), table.largest.escape_ascii());
                write!(shown, " {}[{first}-{last}]", table.number.0).expect("a string");
            }
            shown.push('\n');
        }
        shown
    }
}

/// `L1 7 a-f size=100 seq=3-9 entries=10 dead=5 ttl=5:100-200 created=0`; all but the first three
/// have defaults.
fn parse_table(line: &str) -> (Level, Arc<TableMeta>) {
    let mut words = line.split_whitespace();
    let level = words.next().and_then(|word| word.strip_prefix('L')).expect("a level");
    let number: u64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
    let (first, last) = words.next().and_then(|word| word.split_once('-')).expect("a range");
    let mut table = TableMeta {
        number: FileNumber(number),
        size_bytes: 100,
        entry_count: 10,
        tombstone_count: 0,
        expiring_count: 0,
        earliest_expiry_ms: None,
        latest_expiry_ms: None,
        smallest: Bytes::copy_from_slice(first.as_bytes()),
        largest: Bytes::copy_from_slice(last.as_bytes()),
        smallest_seq: Seq::new(number),
        largest_seq: Seq::new(number),
        raw_key_bytes: 0,
        raw_value_bytes: 0,
        created_ms: 0,
    };
    for word in words {
        let (name, value) = word.split_once('=').expect("name=value");
        let number = |text: &str| -> u64 { text.parse().expect("a number") };
        match name {
            "size" => table.size_bytes = number(value),
            "entries" => table.entry_count = number(value),
            "dead" => table.tombstone_count = number(value),
            "created" => table.created_ms = number(value),
            "seq" => {
                let (low, high) = value.split_once('-').expect("a range");
                table.smallest_seq = Seq::new(number(low));
                table.largest_seq = Seq::new(number(high));
            }
            "ttl" => {
                let (count, range) = value.split_once(':').expect("count:first-last");
                let (first, last) = range.split_once('-').expect("a range");
                table.expiring_count = number(count);
                table.earliest_expiry_ms = Some(number(first));
                table.latest_expiry_ms = Some(number(last));
            }
            other => panic!("no property {other}"),
        }
    }
    (Level(number_of(level)), Arc::new(table))
}

fn number_of(level: &str) -> u8 {
    level.parse().expect("a level")
}

fn describe(pick: &Pick) -> String {
    let mut shown =
        format!("{:?} {}->{} score {:.2}:", pick.reason, pick.from, pick.to, pick.score);
    for (level, table) in &pick.inputs {
        write!(shown, " {level}/{}", table.number.0).expect("a string");
    }
    if !pick.grandparents.is_empty() {
        shown.push_str(" above");
        for table in &pick.grandparents {
            write!(shown, " {}", table.number.0).expect("a string");
        }
    }
    write!(shown, ", {}", pick.cause()).expect("a string");
    shown
}
