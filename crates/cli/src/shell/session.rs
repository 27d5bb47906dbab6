//! An open database, the keyspace in use, and what a line does to them.

use std::io::Write;
use std::time::Duration;

use alluvium::{Db, Keyspace, Put, Read};
use anyhow::Result;
use serde_json::json;

use super::parse::{Request, VERBS, parse};
use crate::database::Target;
use crate::notation::Shown;
use crate::output::entries::{self, JsonEntry};
use crate::output::{Output, stats, tree};

/// What the shell does after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Asks for the next one.
    Line,
    /// Ends.
    Leave,
}

/// What the shell works on.
#[derive(Debug)]
pub(crate) struct Session {
    target: Target,
    db: Db,
    name: String,
    /// `None` until the first `set` makes it.
    keyspace: Option<Keyspace>,
}

impl Session {
    /// Opens the database, making it if need be. A named keyspace is made by its first `set`.
    pub(crate) fn open(target: &Target) -> Result<Self> {
        let db = target.open_or_create_db()?;
        let name = target.named_keyspace().unwrap_or(alluvium::DEFAULT_KEYSPACE).to_owned();
        let keyspace = db.find_keyspace(&name)?;
        Ok(Self { target: target.clone(), db, name, keyspace })
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// Name of the keyspace in use.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The keyspace in use, if it is there.
    pub(crate) fn keyspace(&self) -> Option<&Keyspace> {
        self.keyspace.as_ref()
    }

    /// Makes everything durable and gives the folder back.
    pub(crate) fn close(self) -> Result<()> {
        drop(self.keyspace);
        Ok(self.db.close()?)
    }

    /// Does what `line` asks for.
    pub(crate) fn execute(&mut self, line: &[u8], output: &mut Output) -> Result<Next> {
        let Some(request) = parse(line)? else { return Ok(Next::Line) };
        match request {
            Request::Set { key, value, ttl_seconds } => self.set(&key, &value, ttl_seconds, output),
            Request::Get { key } => self.get(&key, output),
            Request::Del { key } => self.del(&key, output),
            Request::Scan { prefix, limit } => self.scan(&prefix, limit, output),
            Request::Count => self.count(output),
            Request::Use { keyspace } => self.switch_to(keyspace, output),
            Request::Keyspaces => self.list_keyspaces(output),
            Request::Stats => stats::write(&self.db.stats()?, output),
            Request::Tree => tree::write(&self.db.stats()?, None, output),
            Request::Help => help(output),
            Request::Exit => return Ok(Next::Leave),
        }?;
        Ok(Next::Line)
    }

    fn set(
        &mut self,
        key: &[u8],
        value: &[u8],
        ttl_seconds: Option<u64>,
        output: &mut Output,
    ) -> Result<()> {
        let keyspace = match &self.keyspace {
            Some(keyspace) => keyspace,
            None => self.keyspace.insert(self.target.make_keyspace(&self.db, &self.name)?),
        };
        let put = Put { ttl: ttl_seconds.map(Duration::from_secs), ..Put::default() };
        keyspace.put(key, value, put)?;
        ok(output)
    }

    fn get(&self, key: &[u8], output: &mut Output) -> Result<()> {
        let value = match &self.keyspace {
            Some(keyspace) => keyspace.get(key)?,
            None => None,
        };
        if output.is_json() {
            return output.json(&JsonEntry::new(key, value.as_deref()));
        }
        match value {
            Some(value) => writeln!(output, "{}", Shown::value(&value))?,
            None => writeln!(output, "(nil)")?,
        }
        Ok(())
    }

    fn del(&self, key: &[u8], output: &mut Output) -> Result<()> {
        if let Some(keyspace) = &self.keyspace {
            keyspace.remove(key)?;
        }
        ok(output)
    }

    fn scan(&self, prefix: &[u8], limit: Option<u64>, output: &mut Output) -> Result<()> {
        if let Some(keyspace) = &self.keyspace {
            let limit = limit.map_or(usize::MAX, |limit| limit as usize);
            entries::write(keyspace.prefix(prefix).take(limit), output)?;
        }
        Ok(())
    }

    fn count(&self, output: &mut Output) -> Result<()> {
        let count = self.keyspace.as_ref().map_or(Ok(0), Read::count)?;
        output.answer(&count.to_string(), &json!({ "count": count }))
    }

    fn switch_to(&mut self, name: String, output: &mut Output) -> Result<()> {
        self.keyspace = self.db.find_keyspace(&name)?;
        self.name = name;
        ok(output)
    }

    fn list_keyspaces(&self, output: &mut Output) -> Result<()> {
        let names = self.db.keyspaces()?;
        if output.is_json() {
            return output.json(&json!({ "keyspaces": names }));
        }
        for name in names {
            writeln!(output, "{}", Shown::key(name.as_bytes()))?;
        }
        Ok(())
    }
}

fn ok(output: &mut Output) -> Result<()> {
    output.answer("OK", &json!({ "ok": true }))
}

fn help(output: &mut Output) -> Result<()> {
    if output.is_json() {
        let verbs = VERBS.map(|verb| json!({ "name": verb.name, "takes": verb.takes }));
        return output.json(&json!({ "commands": verbs }));
    }
    for verb in VERBS {
        let usage = format!("{} {}", verb.name, verb.takes);
        writeln!(output, "  {usage:22} {}", verb.does)?;
    }
    writeln!(
        output,
        "Quote what holds blanks: 'as it stands', \"with \\n \\t \\xNN\". 0x… is bytes."
    )?;
    Ok(())
}
