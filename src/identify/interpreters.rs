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
    skip: Vec<&'static [u8]>,
    code: Vec<&'static [u8]>,
    value: Vec<&'static [u8]>,
    attached: Vec<&'static [u8]>,
    file: Vec<&'static [u8]>,
    instead: Vec<&'static [u8]>,
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
            if argument == b"--" {
                found.extend(rest.next().filter(|_| wanted));
                break;
            }
            let is_option = argument.len() > 1 && matches!(argument.first(), Some(b'-' | b'+'));
            if !is_option {
                if self.skip.contains(&argument) || self.anywhere {
                    continue;
                }
                found.extend(Some(argument).filter(|_| wanted));
                break;
            }
            let (kind, attached) = self.option(argument);
            let value = match (kind, attached) {
                (Kind::Plain, _) => None,
                (_, Some(value)) => Some(value),
                // `sh -s` has no value, and loses nothing: its operands are no files to run.
                (Kind::File | Kind::Instead | Kind::Value | Kind::Code, None) => rest.next(),
            };
            match kind {
                Kind::File => found.extend(value),
                Kind::Instead => {
                    found.extend(value);
                    wanted = false;
                }
                Kind::Code => wanted = false,
                Kind::Value | Kind::Plain => {}
            }
        }
        found
    }

    /// What an option is, and the value that stands in the same argument.
    fn option<'a>(&self, argument: &'a [u8]) -> (Kind, Option<&'a [u8]>) {
        let equals = argument.iter().position(|byte| *byte == b'=');
        if let Some(kind) = self.kind(argument) {
            return (kind, None);
        }
        if let Some((name, value)) = equals.and_then(|at| argument.split_at_checked(at))
            && let Some(kind) = self.kind(name).filter(|_| name.len() > 2)
        {
            return (kind, value.get(1..));
        }
        if argument.starts_with(b"--") {
            return (Kind::Plain, None);
        }
        let Some((sign, letters)) = argument.split_first() else { return (Kind::Plain, None) };
        for (index, letter) in letters.iter().enumerate() {
            let option = [*sign, *letter];
            let behind = letters.get(index + 1..).filter(|rest| !rest.is_empty());
            if let Some(kind) = self.kind(&option) {
                return (kind, behind);
            }
            if self.attached.contains(&option.as_slice()) {
                break;
            }
        }
        (Kind::Plain, None)
    }

    fn kind(&self, option: &[u8]) -> Option<Kind> {
        let lists = [
            (&self.code, Kind::Code),
            (&self.file, Kind::File),
            (&self.instead, Kind::Instead),
            (&self.value, Kind::Value),
        ];
        lists.into_iter().find(|(list, _)| list.contains(&option)).map(|(_, kind)| kind)
    }
}

/// What an option does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It gives the program itself.
    Code,
    /// Its value is a file to run.
    File,
    /// Its value is the one file to run.
    Instead,
    /// It has a value.
    Value,
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
        let list = match key {
            "first" => {
                one.first = true;
                continue;
            }
            "anywhere" => {
                one.anywhere = true;
                continue;
            }
            "skip" => &mut one.skip,
            "code" => &mut one.code,
            "value" => &mut one.value,
            "attached" => &mut one.attached,
            "file" => &mut one.file,
            "instead" => &mut one.instead,
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
        let cases: [(&str, &str, &[&str]); 36] = [
            ("/usr/bin/dash", "sh x.sh", &["x.sh"]),
            ("/usr/bin/dash", "sh -e x.sh data", &["x.sh"]),
            ("/usr/bin/dash", "sh -c x.sh data", &[]),
            ("/usr/bin/dash", "sh -ec x.sh data", &[]),
            ("/usr/bin/dash", "sh -s data", &[]),
            ("/usr/bin/dash", "sh", &[]),
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
            ("/usr/bin/node", "node --require=a.js b.js c.js", &["a.js", "b.js"]),
            ("/usr/bin/node", "node -pe code data", &[]),
            ("/usr/bin/php8.2", "php -d x=1 -f x.php", &["x.php"]),
            ("/usr/bin/java", "java -jar x.jar data", &["x.jar"]),
            ("/usr/bin/deno", "deno run x.ts", &["x.ts"]),
            ("/bin/busybox", "sh x.sh", &["x.sh"]),
            ("/bin/busybox", "busybox awk -f x.awk data", &["x.awk"]),
            ("/bin/busybox", "cat x.sh", &[]),
            ("/bin/cat", "sh x.sh", &[]),
            ("/usr/bin/make", "make -C dir all -f x.mk", &["x.mk"]),
            ("/usr/bin/make", "make -fx.mk", &["x.mk"]),
            ("/usr/bin/make", "make all", &[]),
            ("/usr/bin/gdb", "gdb -nx -batch program -x x.gdb", &["x.gdb"]),
            ("/usr/bin/gdb", "gdb -batch --command=x.gdb", &["x.gdb"]),
            ("/usr/bin/gdb", "gdb -nx program", &[]),
            ("/usr/bin/lua5.4 (deleted)", "lua -e code x.lua", &["x.lua"]),
        ];
        for (executable, line, expected) in cases {
            assert_eq!(run(executable, line), expected, "{executable}: {line}");
        }
    }

    #[test]
    fn a_loader_started_as_a_program_names_its_program() {
        let line: Vec<&[u8]> = [b"ld.so".as_slice(), b"--library-path", b"/x", b"program", b"data"].to_vec();
        assert_eq!(loader().unwrap().programs(&line), [b"program"]);
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
