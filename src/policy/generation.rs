//! All rules that hold together, in the order in which they are tried: what one decision sees.

use super::file::{Read, Rule, Source, read};
use super::index::Index;
use super::limits;
use super::problem::Problem;
use super::rule::About;
use crate::event::{Field, Groups, RuleIndex};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The policy that is in the program: the last layer where the operator does not take it away.
pub const EMBEDDED: &str = include_str!("../../policy/shared-memory.toml");

/// Its ruleset, the name of its file.
const EMBEDDED_RULESET: &str = "shared-memory";

/// A checked set of rules.
#[derive(Clone, Debug)]
pub struct Generation {
    rules: Vec<Rule>,
    files: Vec<PolicyFile>,
    hash: String,
    groups: Groups,
    fields: Vec<Field>,
    warnings: Vec<Problem>,
    index: Index,
}

/// One file of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    /// As the operator named it; `None` for the embedded policy.
    pub file: Option<PathBuf>,
    /// SHA-256 of its text, in hexadecimal.
    pub sha256: String,
    /// How many rules stand in it.
    pub rules: usize,
}

/// One generation from all sources, in their order; the embedded policy is the last where `builtin` is true.
///
/// # Errors
/// Everything that is wrong in any source; there is then no generation at all.
pub fn compile(sources: &[Source<'_>], builtin: bool) -> Result<Generation, Vec<Problem>> {
    let embedded = Source { file: None, text: EMBEDDED };
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let mut rules: Vec<Read> = Vec::new();
    let mut files = Vec::new();
    let mut whole = Sha256::new();
    for source in sources.iter().chain(builtin.then_some(&embedded)) {
        let mut contents = read(*source, &ruleset(source.file));
        contents
            .problems
            .sort_by_key(|problem| problem.place.as_ref().map(|place| (place.line, place.column)));
        problems.append(&mut contents.problems);
        warnings.append(&mut contents.warnings);
        files.push(PolicyFile {
            file: source.file.map(Path::to_path_buf),
            sha256: hex(&Sha256::digest(source.text)),
            rules: contents.rules.len(),
        });
        // The length keeps two files apart from one with both texts.
        whole.update(u64::try_from(source.text.len()).unwrap_or(u64::MAX).to_be_bytes());
        whole.update(source.text);
        rules.append(&mut contents.rules);
    }
    duplicates(&rules, &mut problems);
    if rules.len() > limits::RULES {
        let message = format!("{} rules; {} are allowed", rules.len(), limits::RULES);
        problems.push(Problem { file: None, place: None, message, help: None });
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let rules: Vec<Rule> = rules.into_iter().map(|read| read.rule).collect();
    let mut fields: Vec<Field> = rules.iter().flat_map(|rule| rule.condition.fields()).copied().collect();
    fields.sort_unstable();
    fields.dedup();
    let groups = fields.iter().fold(Groups::NONE, |groups, field| groups | field.groups());
    let index = Index::new(&rules);
    Ok(Generation { index, rules, files, hash: hex(&whole.finalize()), groups, fields, warnings })
}

impl Generation {
    /// The embedded policy alone.
    #[must_use]
    pub fn embedded() -> Self {
        #[expect(clippy::expect_used, reason = "the text is part of the program, and a test compiles it")]
        compile(&[], true).expect("the embedded policy is valid")
    }

    /// The rules in the order in which they are tried.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// One rule.
    #[must_use]
    pub fn rule(&self, index: RuleIndex) -> Option<&Rule> {
        self.rules.get(usize::from(index.0))
    }

    /// What one rule says of itself.
    #[must_use]
    pub fn about(&self, index: RuleIndex) -> Option<&About> {
        self.rules.get(usize::from(index.0)).map(|rule| &rule.about)
    }

    /// SHA-256 of all texts in their order, in hexadecimal: the same for the same rules in the same files.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The files in their order, the embedded policy last where it is part.
    #[must_use]
    pub fn files(&self) -> &[PolicyFile] {
        &self.files
    }

    /// All facts that some rule may ask for.
    #[must_use]
    pub fn groups(&self) -> Groups {
        self.groups
    }

    /// All fields that some rule reads.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Some rule reads the environment of the new image, which is not read otherwise.
    #[must_use]
    pub fn reads_environment(&self) -> bool {
        self.fields.contains(&Field::ProcessEnvVars)
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// What is odd but not wrong.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

/// The file's name without directory and `.toml`.
fn ruleset(file: Option<&Path>) -> String {
    let Some(file) = file else { return EMBEDDED_RULESET.to_owned() };
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.strip_suffix(".toml").unwrap_or(&name).to_owned()
}

/// Ids are what records and `status` name a rule by, so each is there once.
fn duplicates(rules: &[Read], problems: &mut Vec<Problem>) {
    let mut first: HashMap<&str, &Problem> = HashMap::new();
    for read in rules {
        let id = read.rule.about.id.as_str();
        if let Some(earlier) = first.get(id) {
            let mut problem = read.id.clone();
            problem.message = format!("the id `{id}` is taken");
            problem.help = Some(format!("it was given first in {}", place(earlier)));
            problems.push(problem);
        } else {
            first.insert(id, &read.id);
        }
    }
}

fn place(problem: &Problem) -> String {
    let file =
        problem.file.as_ref().map_or("the embedded policy".to_owned(), |file| file.display().to_string());
    match &problem.place {
        Some(place) => format!("{file}:{}:{}", place.line, place.column),
        None => file,
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
