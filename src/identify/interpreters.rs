//! Which executables are interpreters, and which of their arguments name the file that they run; pure.
//!
//! The knowledge itself is data, in `interpreters.txt`.

#![forbid(unsafe_code)]

use std::sync::LazyLock;

/// One family of interpreters.
#[derive(Debug, Default)]
pub(super) struct Interpreter {
    names: Vec<&'static [u8]>,
    first: bool,
    anywhere: bool,
    hyphen: bool,
    words: bool,
    short: bool,
    skip: Vec<&'static [u8]>,
    plain: Vec<&'static [u8]>,
    code: Vec<&'static [u8]>,
    value: Vec<&'static [u8]>,
    next: Vec<&'static [u8]>,
    attached: Vec<&'static [u8]>,
    file: Vec<&'static [u8]>,
    list: Vec<&'static [u8]>,
    instead: Vec<&'static [u8]>,
    word: Vec<&'static [u8]>,
    end: Vec<&'static [u8]>,
    inside: Vec<&'static [u8]>,
}

static TABLE: LazyLock<Vec<Interpreter>> = LazyLock::new(|| read(include_str!("interpreters.txt")));

/// The multi-call programs: which of their programs runs is said by the first argument, or the second.
const MULTI_CALL: [&[u8]; 2] = [b"busybox", b"toybox"];

/// How a loader reads its arguments.
pub(super) fn loader() -> Option<&'static Interpreter> {
    named(b"(loader)")
}

/// True where an executable with this path could be an interpreter.
pub(super) fn is_known(executable: &[u8]) -> bool {
    let name = name_of(executable);
    MULTI_CALL.contains(&name) || named(name).is_some()
}

/// The arguments that name a file to run, given all of them from the program's own name on.
pub(super) fn programs<'a>(executable: &[u8], arguments: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let name = name_of(executable);
    if !MULTI_CALL.contains(&name) {
        return named(name).map(|one| one.programs(arguments)).unwrap_or_default();
    }
    for skipped in 0..2 {
        let arguments = arguments.get(skipped..).unwrap_or_default();
        if let Some(one) = arguments.first().and_then(|first| named(name_of(first))) {
            return one.programs(arguments);
        }
    }
    Vec::new()
}

/// What is run of a directory that is given to this interpreter: files in it.
pub(super) fn inside(executable: &[u8]) -> &'static [&'static [u8]] {
    named(name_of(executable)).map(|one| one.inside.as_slice()).unwrap_or_default()
}

/// The last part of a path, without the version at its end and without the kernel's word for a deleted file.
fn name_of(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    // A login shell's first argument begins with a dash.
    let name = name.strip_prefix(b"-").unwrap_or(name);
    let end =
        name.iter().rposition(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-')).map_or(0, |last| last + 1);
    name.get(..end).unwrap_or(name)
}

fn named(name: &[u8]) -> Option<&'static Interpreter> {
    TABLE.iter().find(|one| one.names.contains(&name))
}

impl Interpreter {
    /// The arguments that name a file to run.
    pub(super) fn programs<'a>(&self, arguments: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let mut found = Vec::new();
        let mut rest = arguments.iter().skip(1).copied();
        let mut wanted = self.first;
        while let Some(argument) = rest.next() {
            if argument == b"--" || (self.hyphen && argument == b"-") {
                found.extend(rest.next().filter(|_| wanted));
                break;
            }
            if self.end.contains(&argument) {
                break;
            }
            if !self.is_option(argument) {
                if self.skip.contains(&argument) || self.anywhere {
                    continue;
                }
                found.extend(Some(argument).filter(|_| wanted));
                break;
            }
            let Reading { mut kind, mut value, skipped } = self.read(argument);
            for _ in 0..skipped {
                let _value = rest.next();
            }
            // `awk -W exec FILE` is `awk --exec FILE`.
            if kind == Kind::Word
                && let Some(word) = value.or_else(|| rest.next())
            {
                Reading { kind, value, .. } = self.long(word);
            }
            let value = match (kind, value) {
                (Kind::Plain | Kind::Word, _) => None,
                (_, Some(value)) => Some(value),
                // `sh -s` has no value, and loses nothing: its operands are no files to run.
                (Kind::File | Kind::List | Kind::Instead | Kind::Value | Kind::Code, None) => rest.next(),
            };
            match kind {
                Kind::File => found.extend(value),
                Kind::List => {
                    found.extend(value.into_iter().flat_map(|list| list.split(|byte| *byte == b':')))
                }
                Kind::Instead => {
                    found.extend(value);
                    wanted = false;
                }
                Kind::Code => wanted = false,
                Kind::Value | Kind::Plain | Kind::Word => {}
            }
        }
        found
    }

    fn is_option(&self, argument: &[u8]) -> bool {
        let sign = match argument.first() {
            Some(b'-') => true,
            Some(b'+') => self.next.iter().chain(&self.value).any(|option| option.starts_with(b"+")),
            _ => false,
        };
        sign && argument.len() > 1
    }

    /// What an option is, and the value that stands in the same argument.
    fn read<'a>(&self, argument: &'a [u8]) -> Reading<'a> {
        if let Some(kind) = self.kind(argument) {
            return Reading { kind, value: None, skipped: 0 };
        }
        if let Some(name) = argument.strip_prefix(b"--") {
            return self.long(name);
        }
        match argument.strip_prefix(b"-") {
            Some(name) if self.words => self.long(name),
            _ => self.cluster(argument),
        }
    }

    /// An option that is a word, given without its dashes: `NAME` or `NAME=VALUE`.
    fn long<'a>(&self, text: &'a [u8]) -> Reading<'a> {
        let mut parts = text.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next());
        let of = |fits: &dyn Fn(&[u8]) -> bool| {
            self.options()
                .find(|(option, _)| self.without_dashes(option).is_some_and(fits))
                .map(|(_, kind)| kind)
        };
        // Where one letter is a word too, an abbreviation is longer.
        let least = if self.words { 2 } else { 1 };
        let kind = of(&|option| option == name)
            .or_else(|| of(&|option| option.starts_with(name)).filter(|_| self.short && name.len() >= least));
        Reading { kind: kind.unwrap_or(Kind::Plain), value, skipped: 0 }
    }

    /// Options of one letter, several in one argument.
    fn cluster<'a>(&self, argument: &'a [u8]) -> Reading<'a> {
        let mut skipped = 0;
        let plain = |skipped| Reading { kind: Kind::Plain, value: None, skipped };
        let Some((sign, letters)) = argument.split_first() else { return plain(0) };
        for (index, letter) in letters.iter().enumerate() {
            let option = [*sign, *letter];
            if self.next.contains(&option.as_slice()) {
                skipped += 1;
            } else if let Some(kind) = self.kind(&option) {
                let behind = letters.get(index + 1..).filter(|rest| !rest.is_empty());
                return Reading { kind, value: behind, skipped };
            } else if self.attached.contains(&option.as_slice()) {
                break;
            }
        }
        plain(skipped)
    }

    fn kind(&self, option: &[u8]) -> Option<Kind> {
        self.options().find(|(known, _)| *known == option).map(|(_, kind)| kind)
    }

    fn options(&self) -> impl Iterator<Item = (&'static [u8], Kind)> {
        let lists = [
            (&self.plain, Kind::Plain),
            (&self.code, Kind::Code),
            (&self.file, Kind::File),
            (&self.list, Kind::List),
            (&self.instead, Kind::Instead),
            (&self.value, Kind::Value),
            (&self.word, Kind::Word),
        ];
        lists.into_iter().flat_map(|(list, kind)| list.iter().map(move |option| (*option, kind)))
    }

    /// The name of an option that is a word.
    fn without_dashes(&self, option: &'static [u8]) -> Option<&'static [u8]> {
        option.strip_prefix(b"--").or_else(|| option.strip_prefix(b"-").filter(|_| self.words))
    }
}

/// An argument that is an option, as it was read.
#[derive(Clone, Copy, Debug)]
struct Reading<'a> {
    kind: Kind,
    /// The value in the same argument.
    value: Option<&'a [u8]>,
    /// How many of the arguments behind it are values of its letters.
    skipped: usize,
}

/// What an option does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It gives the program itself.
    Code,
    /// Its value is a file to run.
    File,
    /// Its value is a list of such files.
    List,
    /// Its value is the one file to run.
    Instead,
    /// It has a value.
    Value,
    /// Its value is another option, without its dashes.
    Word,
    /// None of these.
    Plain,
}

fn read(text: &'static str) -> Vec<Interpreter> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(line).collect()
}

fn line(line: &'static str) -> Interpreter {
    let mut one = Interpreter::default();
    for word in line.split_whitespace() {
        let (key, values) = word.split_once('=').unwrap_or((word, ""));
        let flag = match key {
            "first" => Some(&mut one.first),
            "anywhere" => Some(&mut one.anywhere),
            "hyphen" => Some(&mut one.hyphen),
            "words" => Some(&mut one.words),
            "short" => Some(&mut one.short),
            _ => None,
        };
        if let Some(flag) = flag {
            *flag = true;
            continue;
        }
        let list = match key {
            "skip" => &mut one.skip,
            "plain" => &mut one.plain,
            "code" => &mut one.code,
            "value" => &mut one.value,
            "next" => &mut one.next,
            "attached" => &mut one.attached,
            "file" => &mut one.file,
            "list" => &mut one.list,
            "instead" => &mut one.instead,
            "word" => &mut one.word,
            "end" => &mut one.end,
            "inside" => &mut one.inside,
            name => {
                one.names.push(name.as_bytes());
                continue;
            }
        };
        list.extend(values.split(',').map(str::as_bytes));
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<'a>(executable: &str, line: &'a str) -> Vec<&'a str> {
        let arguments: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let found = programs(executable.as_bytes(), &arguments);
        found.into_iter().map(|program| std::str::from_utf8(program).unwrap()).collect()
    }

    #[test]
    fn the_file_to_run_is_told_from_options_code_and_data() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("/usr/bin/dash", "sh x.sh", &["x.sh"]),
            ("/usr/bin/dash", "sh -e x.sh data", &["x.sh"]),
            ("/usr/bin/dash", "sh -c x.sh data", &[]),
            ("/usr/bin/dash", "sh -ec x.sh data", &[]),
            ("/usr/bin/dash", "sh -s data", &[]),
            ("/usr/bin/dash", "sh", &[]),
            ("/usr/bin/dash", "sh -e - x.sh data", &["x.sh"]),
            ("/usr/bin/dash", "sh -c - x.sh data", &[]),
            ("/usr/bin/dash", "sh +e x.sh data", &["x.sh"]),
            ("/usr/bin/zsh", "zsh --emulate sh - x.sh", &["x.sh"]),
            ("/bin/busybox", "busybox sh - x.sh", &["x.sh"]),
            ("/bin/bash", "bash -oe pipefail x.sh", &["x.sh"]),
            ("/bin/bash", "bash -norc -rcfile rc x.sh", &["rc", "x.sh"]),
            ("/usr/bin/python3.11", "python3 - x.py", &["-"]),
            ("/usr/bin/fish", "fish --init-command x.fish y.fish", &["y.fish"]),
            ("/bin/bash", "-bash --rcfile rc x.sh", &["rc", "x.sh"]),
            ("/bin/bash", "bash --rcfile=rc -o errexit x.sh", &["rc", "x.sh"]),
            ("/bin/bash", "bash -- -x.sh data", &["-x.sh"]),
            ("/usr/bin/python3.11", "python3 x.py data.csv", &["x.py"]),
            ("/usr/bin/python3.11", "python3 -W ignore -u x.py", &["x.py"]),
            ("/usr/bin/python3.11", "python3 -c code data.csv", &[]),
            ("/usr/bin/python3.11", "python3 -Im module data.csv", &[]),
            ("/usr/bin/perl", "perl -Mfeature x.pl", &["x.pl"]),
            ("/usr/bin/perl5.36.0", "perl -lane code data", &[]),
            ("/usr/bin/perl", "perl -I lib x.pl", &["x.pl"]),
            ("/usr/bin/mawk", "awk program data", &[]),
            ("/usr/bin/mawk", "awk -f x.awk data", &["x.awk"]),
            ("/usr/bin/mawk", "awk -fx.awk data", &["x.awk"]),
            ("/usr/bin/gawk", "gawk --file=x.awk data", &["x.awk"]),
            ("/usr/bin/gawk", "gawk --fil x.awk data", &["x.awk"]),
            ("/usr/bin/mawk", "mawk -W interactive -f x.awk data", &["x.awk"]),
            ("/usr/bin/mawk", "mawk -W exec x.awk data", &["x.awk"]),
            ("/usr/bin/mawk", "mawk -Wexec x.awk data", &["x.awk"]),
            ("/usr/bin/mawk", "mawk -We x.awk data", &["x.awk"]),
            ("/usr/bin/sed", "sed -n p data", &[]),
            ("/usr/bin/sed", "sed -if p data", &[]),
            ("/usr/bin/sed", "sed data --fil=x.sed", &["x.sed"]),
            ("/usr/bin/sed", "sed -nf x.sed data", &["x.sed"]),
            ("/usr/bin/node", "node --require=a.js b.js c.js", &["a.js", "b.js"]),
            ("/usr/bin/node", "node -pe code data", &[]),
            ("/usr/bin/node", "node --title x --disable-warning DEP1 b.js c.js", &["b.js"]),
            ("/usr/bin/node", "node --no-warnings b.js c.js", &["b.js"]),
            ("/usr/bin/php8.2", "php -d x=1 -f x.php", &["x.php"]),
            ("/usr/bin/php8.2", "php -B code -E code data", &[]),
            ("/usr/bin/phpdbg8.2", "phpdbg -qrr x.php data", &["x.php"]),
            ("/usr/lib/R/bin/exec/R", "R --no-echo --file=x.R --args -f data", &["x.R"]),
            ("/usr/bin/Rscript", "Rscript -e code data", &[]),
            ("/usr/bin/expect", "expect -d x.exp data", &["x.exp"]),
            ("/usr/bin/guile", "guile -e main -s x.scm data", &["x.scm"]),
            ("/usr/bin/java", "java -jar x.jar data", &["x.jar"]),
            ("/usr/bin/java", "java -cp a.jar:b.jar Main data", &["a.jar", "b.jar", "Main"]),
            ("/usr/bin/java", "java -cp a --source 17 X.java data", &["a", "X.java"]),
            ("/usr/bin/java", "java -ea -Xcomp -Dp=d --add-modules java.base X.java data", &["X.java"]),
            ("/usr/bin/deno", "deno run x.ts", &["x.ts"]),
            ("/bin/busybox", "sh x.sh", &["x.sh"]),
            ("/bin/busybox", "busybox awk -f x.awk data", &["x.awk"]),
            ("/bin/busybox", "cat x.sh", &[]),
            ("/bin/cat", "sh x.sh", &[]),
            ("/usr/bin/make", "make -C dir all -f x.mk", &["x.mk"]),
            ("/usr/bin/make", "make -fx.mk", &["x.mk"]),
            ("/usr/bin/make", "make all", &[]),
            ("/usr/bin/make", "make --makef=x.mk", &["x.mk"]),
            ("/usr/bin/make", "make --makef x.mk --eval f", &["x.mk"]),
            ("/usr/bin/make", "make -j4 --what-if=x.mk -W y.mk", &[]),
            ("/usr/bin/gdb", "gdb -nx -batch program -x x.gdb", &["x.gdb"]),
            ("/usr/bin/gdb", "gdb -batch --command=x.gdb", &["x.gdb"]),
            ("/usr/bin/gdb", "gdb -nx program", &[]),
            ("/usr/bin/gdb", "gdb -x=x.gdb", &["x.gdb"]),
            ("/usr/bin/gdb", "gdb --comm=x.gdb -iex code", &["x.gdb"]),
            ("/usr/bin/gdb", "gdb -comm x.gdb", &["x.gdb"]),
            ("/usr/bin/gdb", "gdb --args program -x data", &[]),
            ("/usr/bin/lua5.4 (deleted)", "lua -e code x.lua", &["x.lua"]),
        ];
        for (executable, line, expected) in cases {
            assert_eq!(run(executable, line), *expected, "{executable}: {line}");
        }
    }

    #[test]
    fn a_loader_started_as_a_program_names_its_program() {
        let line: Vec<&[u8]> = [b"ld.so".as_slice(), b"--library-path", b"/x", b"program", b"data"].to_vec();
        assert_eq!(loader().unwrap().programs(&line), [b"program"]);
    }

    #[test]
    fn the_manual_lists_every_interpreter_that_is_known_and_no_other() {
        let manual = include_str!("../../docs/man/shmguard.toml.5").replace('\\', "");
        let (_, rest) = manual.split_once("\n.BR toybox ,\nare\n").unwrap();
        let (listed, _) = rest.split_once(".\n").unwrap();
        let listed: Vec<&str> =
            listed.split([',', '\n']).map(str::trim).filter(|name| !name.is_empty()).collect();
        let known = TABLE.iter().flat_map(|one| &one.names).map(|name| std::str::from_utf8(name).unwrap());
        assert_eq!(listed, known.filter(|name| *name != "(loader)").collect::<Vec<_>>());
    }

    #[test]
    fn every_line_of_the_table_has_names_and_says_something() {
        assert!(TABLE.len() > 20);
        for one in TABLE.iter() {
            assert!(!one.names.is_empty());
            assert!(one.first || !one.file.is_empty(), "{:?}", one.names);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_arguments_make_it_panic(name: Vec<u8>, arguments: Vec<Vec<u8>>) {
            let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
            let _programs = programs(&name, &arguments);
            for one in TABLE.iter() {
                let _programs = one.programs(&arguments);
            }
        }
    }
}
