//! The repository as rules see it: paths and texts, read once.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::syntax::Syntax;

/// Folders that hold what is built or found, never what is written.
const SKIPPED_FOLDERS: &[&str] = &[".git", "target", "corpus", "artifacts", "alluvium-data"];

/// Endings of files that rules read. Of all others only the path is known.
const READ_ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".sh", ".ci/run"];

/// One file and its text.
#[derive(Debug)]
pub(super) struct Source {
    /// From the repository's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// Of a Rust file: its syntax, or why there is none.
    syntax: Option<Result<Syntax, String>>,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let syntax = has_extension(path, "rs")
            .then(|| Syntax::parse(text).map_err(|error| error.to_string()));
        Self { path: path.to_owned(), text: text.to_owned(), syntax }
    }

    /// The syntax of a Rust file that parses.
    pub(super) fn syntax(&self) -> Option<&Syntax> {
        self.syntax.as_ref()?.as_ref().ok()
    }

    pub(super) fn parse_error(&self) -> Option<&str> {
        self.syntax.as_ref()?.as_ref().err().map(String::as_str)
    }

    /// Whether all of the file is test code.
    pub(super) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.split('/').any(|part| part == "tests")
    }

    pub(super) fn is_rust(&self) -> bool {
        has_extension(&self.path, "rs")
    }

    pub(super) fn is_markdown(&self) -> bool {
        has_extension(&self.path, "md")
    }

    /// Lines with their numbers, from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

/// All files of the repository.
#[derive(Debug, Default)]
pub(super) struct Tree {
    sources: Vec<Source>,
    /// Every file and folder, read or not.
    paths: BTreeSet<String>,
}

impl Tree {
    /// Reads the repository at `root`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        tree.sources.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> Result<()> {
        let listed = root.join(folder);
        let context = || format!("listing {}", listed.display());
        for entry in std::fs::read_dir(&listed).with_context(context)? {
            let entry = entry.with_context(context)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if !entry.file_type().with_context(context)?.is_dir() {
                if READ_ENDINGS.iter().any(|ending| path.ends_with(ending)) {
                    let text = std::fs::read_to_string(entry.path())
                        .with_context(|| format!("reading {path}"))?;
                    self.sources.push(Source::new(&path, &text));
                }
                self.paths.insert(path);
            } else if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                self.read_folder(root, &path)?;
                self.paths.insert(path);
            }
        }
        Ok(())
    }

    /// A repository of these files, for tests of rules.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.sources.push(Source::new(path, text));
            let mut known = *path;
            tree.paths.insert(known.to_owned());
            while let Some((folder, _)) = known.rsplit_once('/') {
                tree.paths.insert(folder.to_owned());
                known = folder;
            }
        }
        tree
    }

    /// The files whose text was read, by path.
    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Whether a file or folder has this path.
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    /// The file with this path, if its text was read.
    pub(super) fn source(&self, path: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.path == path)
    }
}
