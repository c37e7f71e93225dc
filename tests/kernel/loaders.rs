//! Files that run without an exec: loaded by ld.so, or given to an interpreter. And what only reads, which must go on.
//!
//! Every way is a line for the shell that says `RAN` when the file in the watched directory has run. It is tried without
//! a guard first, where it has to work.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bed::{Bed, Guard, bed, wait_until};

/// What stands in `$D`, which is watched: a program, a library, an auditing library, scripts. In `$T`, which is not: a
/// program that opens libraries by name, copies of loaders, data.
fn furnish(bed: &Bed) {
    fs::create_dir_all(format!("{D}/package")).unwrap();
    let at = |name: &str| bed.path(name).display().to_string();
    fs::write(at("program.c"), "#include <stdio.h>\nint main(void) { puts(\"RAN\"); return 0; }\n").unwrap();
    fs::write(at("quiet.c"), "int main(void) { return 0; }\n").unwrap();
    fs::write(
        at("library.c"),
        "#include <unistd.h>\n#include <string.h>\n\
         __attribute__((constructor)) static void run(void) { write(1, \"RAN\\n\", 4); }\n\
         unsigned int la_version(unsigned int version) { write(1, \"RAN\\n\", 4); return version; }\n",
    )
    .unwrap();
    fs::write(
        at("open.c"),
        "#include <dlfcn.h>\n#include <stdio.h>\n#include <fcntl.h>\n\
         int main(int count, char **names) {\n\
           char path[64];\n\
           if (count > 2) { sprintf(path, \"/proc/self/fd/%d\", open(names[1], O_RDONLY)); names[1] = path; }\n\
           if (!dlopen(names[1], RTLD_NOW)) { puts(dlerror()); return 1; }\n\
           return 0; }\n",
    )
    .unwrap();
    cc(&["-o", &at("program"), &at("program.c")]);
    cc(&["-shared", "-fPIC", "-o", &format!("{D}/lib.so"), &at("library.c")]);
    cc(&["-shared", "-fPIC", "-o", &at("lib.so"), &at("library.c")]);
    cc(&["-o", &at("open"), &at("open.c"), "-ldl"]);
    let loader = fs::canonicalize("/lib64/ld-linux-x86-64.so.2").unwrap();
    fs::copy(&loader, at("renamed")).unwrap();
    cc(&["-o", &at("other"), &at("quiet.c"), &format!("-Wl,--dynamic-linker={}", at("renamed"))]);
    cc(&["-o", &at("linked"), &at("quiet.c"), "-Wl,--no-as-needed", &format!("{D}/lib.so")]);
    fs::copy(at("program"), format!("{D}/program")).unwrap();
    for (name, text) in [
        ("x.sh", "echo RAN\n"),
        ("x.py", "print('RAN')\n"),
        ("x.pl", "print \"RAN\\n\";\n"),
        ("x.lua", "print('RAN')\n"),
        ("x.js", "console.log('RAN')\n"),
        ("x.awk", "BEGIN { print \"RAN\" }\n"),
        ("x.mk", "all:\n\t@echo RAN\n"),
        ("x.gdb", "echo RAN\\n\n"),
        ("x.sed", "s/.*/RAN/\n"),
        ("x.tcl", "puts RAN\n"),
        ("x.java", "class X { public static void main(String[] a) { System.out.println(\"RAN\"); } }\n"),
        ("package/__main__.py", "print('RAN')\n"),
    ] {
        fs::write(format!("{D}/{name}"), text).unwrap();
    }
    fs::write(format!("{D}/data"), "some data\n").unwrap();
    fs::write(at("r.awk"), "{ print >\"/dev/null\" }\n").unwrap();
}

const D: &str = "/dev/shm/d";
const BOTH_DENIED: &str = "loaders = \"deny\"\ninterpreters = \"deny\"\n";

fn cc(arguments: &[&str]) {
    let output = Command::new("cc").args(arguments).output().expect("cc is needed by these tests");
    assert!(output.status.success(), "cc {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a line for the shell prints, and whether it succeeds.
fn shell(bed: &Bed, line: &str) -> (String, bool) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).env("D", D).env("T", bed.path("")).current_dir("/").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.success())
}

fn runs(bed: &Bed, line: &str) -> bool {
    shell(bed, line).0.lines().any(|line| line == "RAN")
}

fn records_of(guard: &Guard, action: &str) -> Vec<Value> {
    guard.records().into_iter().filter(|record| record["event"]["action"] == action).collect()
}

/// Whether the programs that the way needs are installed.
fn has(needed: &str) -> bool {
    let missing: Vec<_> = needed
        .split_whitespace()
        .filter(|name| {
            !["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
                .iter()
                .any(|directory| Path::new(directory).join(name).exists())
        })
        .collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED, NOT PASSED: {missing:?} not installed");
    }
    missing.is_empty()
}

/// Each way runs without a guard, and is denied and recorded with one.
#[track_caller]
fn denied(action: &'static str, ways: &'static [(&'static str, &'static str, &'static str)]) {
    bed(move |bed| {
        furnish(bed);
        let ways: Vec<_> = ways.iter().filter(|(_, needed, _)| has(needed)).collect();
        for (line, _, _) in &ways {
            assert!(runs(bed, line), "does not run without a guard: {line}: {}", shell(bed, line).0);
        }
        let guard = bed.guard_with("mode = \"prevent\"\n", BOTH_DENIED);
        for (line, _, file) in &ways {
            let before = records_of(&guard, action).len();
            let (text, _) = shell(bed, line);
            assert!(!text.lines().any(|line| line == "RAN"), "it ran: {line}: {text}");
            let records = records_of(&guard, action);
            let of_file: Vec<_> = records[before..]
                .iter()
                .filter(|record| record["process"]["executable"] == format!("{D}/{file}"))
                .collect();
            assert!(!of_file.is_empty(), "no record of {file}: {line}: {text}: {records:#?}");
            for record in of_file {
                assert_eq!(record["event"]["type"], serde_json::json!(["start", "denied"]), "{record:#}");
                assert_eq!(record["event"]["kind"], "alert");
                assert_eq!(record["rule"]["name"].as_str().map(str::is_empty), Some(false));
                assert_eq!(record["user"]["id"], "0");
            }
        }
    });
}

#[test]
fn what_ld_so_loads_is_denied_whoever_asked_for_it() {
    denied(
        "load",
        &[
            ("/lib64/ld-linux-x86-64.so.2 $D/program", "", "program"),
            ("cd $D; /lib64/ld-linux-x86-64.so.2 ./program", "", "program"),
            ("$T/renamed $D/program", "", "program"),
            ("LD_PRELOAD=$D/lib.so /bin/true", "", "lib.so"),
            ("LD_PRELOAD=$D/lib.so $T/other", "", "lib.so"),
            ("LD_AUDIT=$D/lib.so /bin/true", "", "lib.so"),
            ("$T/renamed --preload $D/lib.so /bin/true", "", "lib.so"),
            ("$T/open $D/lib.so", "", "lib.so"),
            ("$T/open $D/lib.so descriptor", "", "lib.so"),
            ("$T/linked", "", "lib.so"),
            (
                "/usr/bin/python3 -c 'import ctypes, os; ctypes.CDLL(os.environ[\"D\"] + \"/lib.so\")'",
                "python3",
                "lib.so",
            ),
            ("unshare -m env LD_PRELOAD=$D/lib.so /bin/true", "unshare", "lib.so"),
            (
                "unshare -m sh -c 'mount --bind $D /mnt && LD_PRELOAD=/mnt/lib.so /bin/true'",
                "unshare",
                "lib.so",
            ),
            (
                "mkdir -p /run/none; \
                 unshare -m sh -c 'mount -t overlay none /mnt -o lowerdir=$D:/run/none && LD_PRELOAD=/mnt/lib.so /bin/true'",
                "unshare",
                "lib.so",
            ),
        ],
    );
}

#[test]
fn a_file_that_an_interpreter_is_given_is_denied() {
    denied(
        "interpret",
        &[
            ("sh $D/x.sh", "", "x.sh"),
            ("cd $D; sh ./x.sh argument", "", "x.sh"),
            ("cd $D; sh x.sh", "", "x.sh"),
            ("bash --norc $D/x.sh", "bash", "x.sh"),
            ("sh /dev/fd/3 3<$D/x.sh", "", "x.sh"),
            ("busybox sh $D/x.sh", "busybox", "x.sh"),
            ("/usr/bin/python3 -u $D/x.py argument", "python3", "x.py"),
            ("perl $D/x.pl", "perl", "x.pl"),
            ("lua5.4 $D/x.lua", "lua5.4", "x.lua"),
            ("node $D/x.js", "node", "x.js"),
            ("awk -f $D/x.awk", "awk", "x.awk"),
            ("make -f $D/x.mk", "make", "x.mk"),
            ("make all --makefile=$D/x.mk", "make", "x.mk"),
            ("gdb -nx -batch -x $D/x.gdb", "gdb", "x.gdb"),
            ("/usr/bin/python3 $D/package", "python3", "package/__main__.py"),
            ("cd $D; /usr/bin/python3 package", "python3", "package/__main__.py"),
            ("ln -s $D/x.sh $T/link; sh $T/link", "", "x.sh"),
            ("unshare -m sh $D/x.sh", "unshare", "x.sh"),
            (
                "mkdir -p /run/none; \
                 unshare -m sh -c 'mount -t overlay none /mnt -o lowerdir=$D:/run/none && sh /mnt/x.sh'",
                "unshare",
                "x.sh",
            ),
            (
                "mkdir -p /dev/shm/work; unshare -m sh -c 'mount -t overlay none /mnt \
                 -o xino=on,lowerdir=/srv,upperdir=$D,workdir=/dev/shm/work && cd /mnt && sh x.sh'",
                "unshare",
                "x.sh",
            ),
        ],
    );
}

#[test]
fn options_and_abbreviations_before_the_file_hide_nothing() {
    denied(
        "interpret",
        &[
            ("sh -e - $D/x.sh", "", "x.sh"),
            ("bash - $D/x.sh", "bash", "x.sh"),
            ("bash -oe pipefail $D/x.sh", "bash", "x.sh"),
            ("zsh - $D/x.sh", "zsh", "x.sh"),
            ("zsh --emulate sh $D/x.sh", "zsh", "x.sh"),
            ("busybox sh - $D/x.sh", "busybox", "x.sh"),
            ("fish -C true $D/x.sh", "fish", "x.sh"),
            ("java -cp /tmp --source 17 $D/x.java", "java", "x.java"),
            ("java -ea -Xint --add-modules java.base $D/x.java", "java", "x.java"),
            ("node --disable-warning DEP1 $D/x.js", "node", "x.js"),
            ("tclsh -encoding utf-8 $D/x.tcl", "tclsh", "x.tcl"),
            ("mawk -W interactive -f $D/x.awk </dev/null", "mawk", "x.awk"),
            ("mawk -Wexec $D/x.awk", "mawk", "x.awk"),
            ("gdb -nx -batch -x=$D/x.gdb", "gdb", "x.gdb"),
            ("gdb -nx -batch --comm=$D/x.gdb", "gdb", "x.gdb"),
            ("echo | sed --fil=$D/x.sed", "", "x.sed"),
            ("make --makef=$D/x.mk", "make", "x.mk"),
        ],
    );
}

#[test]
fn a_name_that_leads_through_the_caller_s_own_links_in_proc_hides_nothing() {
    denied(
        "interpret",
        &[
            ("bash /proc/self/root$D/x.sh", "bash", "x.sh"),
            ("/usr/bin/python3 /proc/self/root$D/x.py", "python3", "x.py"),
            ("perl /proc/thread-self/root$D/x.pl", "perl", "x.pl"),
            ("cd $D; sh /proc/self/cwd/x.sh", "", "x.sh"),
            ("sh /proc/self/fd/9/x.sh 9<$D", "", "x.sh"),
            ("sh /dev/fd/9/package/../x.sh 9<$D", "", "x.sh"),
            ("sh /proc/$$/root$D/x.sh", "", "x.sh"),
            ("cd $D; rm -f $T/cwd; ln -s /proc/self/cwd $T/cwd; sh $T/cwd/x.sh", "", "x.sh"),
            ("unshare -m sh /proc/self/root$D/x.sh", "unshare", "x.sh"),
            ("unshare -mpf --mount-proc sh /proc/self/root$D/x.sh", "unshare", "x.sh"),
            ("sh /dev/stdin <$D/x.sh", "", "x.sh"),
            ("bash /dev/stdin <$D/x.sh", "bash", "x.sh"),
            ("/usr/bin/python3 /dev/stdin <$D/x.py", "python3", "x.py"),
            ("tclsh /dev/stdin <$D/x.tcl", "tclsh", "x.tcl"),
            ("awk -f /dev/stdin <$D/x.awk", "awk", "x.awk"),
            ("make -f /dev/stdin <$D/x.mk", "make", "x.mk"),
        ],
    );
}

#[test]
fn a_library_for_musl_is_denied_where_arguments_or_ld_preload_name_it() {
    if !has("musl-gcc") {
        return;
    }
    bed(|bed| {
        fs::create_dir_all(D).unwrap();
        let at = |name: &str| bed.path(name).display().to_string();
        fs::write(at("p.c"), "#include <unistd.h>\nint main(void) { write(1, \"RAN\\n\", 4); return 0; }\n")
            .unwrap();
        fs::write(
            at("l.c"),
            "#include <unistd.h>\n__attribute__((constructor)) static void run(void) { write(1, \"RAN\\n\", 4); }\n",
        )
        .unwrap();
        fs::write(
            at("r.c"),
            "#include <fcntl.h>\n#include <unistd.h>\n#include <stdio.h>\nint main(int count, char **names) {\n\
             char b[16]; int f = open(names[1], O_RDONLY | O_CLOEXEC); return read(f, b, 16) == 16 ? 0 : 1; }\n",
        )
        .unwrap();
        let musl = |arguments: &[&str]| {
            assert!(Command::new("musl-gcc").args(arguments).status().unwrap().success(), "{arguments:?}");
        };
        fs::write(
            at("o.c"),
            "#include <dlfcn.h>\nint main(int count, char **names) { return dlopen(names[1], RTLD_NOW) ? 0 : 1; }\n",
        )
        .unwrap();
        musl(&["-o", &format!("{D}/program"), &at("p.c")]);
        musl(&["-o", &at("open"), &at("o.c")]);
        musl(&["-o", &at("read"), &at("r.c")]);
        musl(&["-shared", "-fPIC", "-o", &format!("{D}/lib.so"), &at("l.c")]);
        musl(&["-o", &at("linked"), &at("p.c"), &format!("-L{D}"), "-Wl,--no-as-needed", "-l:lib.so"]);
        let loader = fs::read_dir("/lib").unwrap().map(|entry| entry.unwrap().path()).find(|path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ld-musl"))
        });
        fs::copy(loader.expect("musl-gcc comes with its loader"), at("renamed")).unwrap();
        let ways = ["$T/renamed $D/program", "LD_PRELOAD=$D/lib.so $T/read $D/lib.so"];
        for line in ways {
            assert!(runs(bed, line), "does not run without a guard: {line}: {}", shell(bed, line).0);
        }
        let guard = bed.guard_with("mode = \"prevent\"\n", BOTH_DENIED);
        for line in ways {
            assert!(!runs(bed, line), "{line}");
        }
        assert!(records_of(&guard, "load").len() >= 2);
        // There every open comes from the loader: who only reads a library goes on, and so does who loads one that
        // neither names. Each is recorded as what could be a load.
        for line in
            ["$T/read $D/lib.so", "$T/read $D/program", "$T/open $D/lib.so", "LD_LIBRARY_PATH=$D $T/linked"]
        {
            let before = records_of(&guard, "load").len();
            let (text, well) = shell(bed, line);
            assert!(well, "{line}: {text}");
            assert_eq!(text.contains("RAN"), !line.contains("read"), "{line}");
            let records = records_of(&guard, "load");
            assert_eq!(records.len(), before + 1, "{line}: {records:#?}");
            assert_eq!(records[before]["tags"][0], "would-deny", "{line}");
            assert_eq!(records[before]["event"]["type"], serde_json::json!(["start", "allowed"]), "{line}");
        }
    });
}

/// What only reads, writes or maps: none of it is a load, although some of it names the file on an interpreter's line.
const CONTROLS: &[(&str, &str)] = &[
    ("cp $D/lib.so $D/copy.so && cp $D/copy.so $T/copy.so", ""),
    ("cat $D/x.sh $D/lib.so >/dev/null", ""),
    ("tar -cf $T/x.tar -C $D . && tar -xf $T/x.tar -C $D", "tar"),
    ("dd if=$D/lib.so of=$D/dd.so status=none", ""),
    ("gzip -kc $D/lib.so | gzip -dc >$D/z.so", "gzip"),
    ("sha256sum $D/lib.so $D/program >/dev/null", ""),
    ("grep -q some $D/data && head -c 5 $D/data >/dev/null", ""),
    ("mv $D/data $D/moved && ln $D/moved $D/data && rm $D/moved", ""),
    ("read -r line <$D/data && [ \"$line\" = 'some data' ]", ""),
    ("while read -r line; do :; done <$D/x.sh", ""),
    ("sh -c 'cat $D/x.sh >/dev/null' name $D/x.sh", ""),
    ("sh -c 'cat $D/x.sh >/dev/null; cat' - $D/x.sh <$D/data >/dev/null", ""),
    (
        "echo 'cat $1 >/dev/null' >$T/r.sh && sh - $T/r.sh $D/x.sh && bash -oe pipefail $T/r.sh $D/x.sh",
        "bash",
    ),
    ("echo 'import sys; open(sys.argv[1]).read()' | /usr/bin/python3 - $D/x.py", "python3"),
    ("perl -e 'open(F, \"<\", $ARGV[0]) or die; <F>' $D/x.pl", "perl"),
    (
        "echo 'require(\"fs\").readFileSync(process.argv[2])' >$T/r.js && node --title x $T/r.js $D/x.js",
        "node",
    ),
    ("echo 'read [open [lindex $argv 0]]' >$T/r.tcl && tclsh $T/r.tcl $D/x.tcl", "tclsh"),
    ("mawk -W interactive '{ print }' $D/data >/dev/null && mawk -f $T/r.awk $D/data", "mawk"),
    (
        "sed -i.f s/x/x/ $D/x.sed && sed -if s/x/x/ $D/x.sed && sed -e p --line-length 9 $D/x.sed >/dev/null",
        "",
    ),
    (
        "printf 'all: %s\\n\\tcat $<\\n' $D/data >$T/r.mk && make -f $T/r.mk --what-if $D/data >/dev/null",
        "make",
    ),
    ("gdb -nx -batch -ex 'info files' $D/program >/dev/null", "gdb"),
    ("/usr/bin/python3 -c 'import sys; open(sys.argv[1]).read()' $D/data", "python3"),
    (
        "echo 'import sys; open(sys.argv[1], \"rb\").read()' >$T/r.py && /usr/bin/python3 $T/r.py $D/lib.so",
        "python3",
    ),
    (
        "/usr/bin/python3 -c 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(\"pragma journal_mode=wal\"); \
         c.execute(\"create table if not exists t (a)\"); c.execute(\"insert into t values (1)\"); c.commit(); \
         c.close(); sqlite3.connect(sys.argv[1]).execute(\"select * from t\").fetchall()' $D/sqlite.db",
        "python3",
    ),
    (
        "/usr/bin/python3 -c 'from multiprocessing import shared_memory as s; m = s.SharedMemory(create=True, size=4096); \
         n = s.SharedMemory(m.name); n.buf[0] = 1; n.close(); m.close(); m.unlink()'",
        "python3",
    ),
    (
        "/usr/bin/python3 -c 'import mmap, os, sys; f = os.open(sys.argv[1], os.O_RDONLY | os.O_CLOEXEC); \
         mmap.mmap(f, 0, prot=mmap.PROT_READ | mmap.PROT_EXEC)' $D/lib.so",
        "python3",
    ),
    ("perl -ne 'print' $D/data >/dev/null", "perl"),
    ("awk '{ print }' $D/data >/dev/null", "awk"),
    ("sed -n p $D/data >/dev/null", ""),
    ("cc -o $T/out $T/program.c $D/lib.so -Wl,--no-as-needed", "cc"),
    ("readelf -d $D/lib.so >/dev/null && strip -o $D/stripped.so $D/lib.so", "readelf strip"),
    ("LD_PRELOAD=$T/lib.so cat $D/lib.so >/dev/null", ""),
    ("$T/open $T/lib.so && cd $D && /bin/true", ""),
    ("mkfifo $D/fifo && { echo x >$D/fifo & read -r x <$D/fifo && [ $x = x ]; }", ""),
    ("install -m 755 /bin/true $D/tool && touch $D/a && chmod 600 $D/a && flock $D/a true", "flock"),
    ("busybox cat $D/lib.so >/dev/null && busybox cp $D/lib.so $D/bb.so", "busybox"),
];

#[test]
fn what_only_reads_goes_on_and_leaves_no_record() {
    bed(|bed| {
        furnish(bed);
        let controls: Vec<_> = CONTROLS.iter().filter(|(_, needed)| has(needed)).collect();
        for (line, _) in &controls {
            let (text, well) = shell(bed, line);
            assert!(well, "does not work without a guard: {line}: {text}");
            shell(bed, "rm -f $D/fifo $D/sqlite.db*");
        }
        let guard = bed.guard_with("mode = \"prevent\"\n", BOTH_DENIED);
        for (line, _) in &controls {
            let (text, well) = shell(bed, line);
            assert!(well, "{line}: {text}");
            for action in ["load", "interpret"] {
                assert_eq!(records_of(&guard, action), Vec::<Value>::new(), "{line}");
            }
        }
        assert!(controls.len() >= 18, "only {} controls ran", controls.len());
    });
}

#[test]
fn what_a_static_program_loads_is_not_seen() {
    bed(|bed| {
        furnish(bed);
        let at = |name: &str| bed.path(name).display().to_string();
        cc(&["-static", "-o", &at("static"), &at("open.c")]);
        let guard = bed.guard_with("mode = \"prevent\"\n", BOTH_DENIED);
        assert!(runs(bed, "$T/static $D/lib.so"), "closed: take it out of docs/evasions.md");
        assert_eq!(records_of(&guard, "load"), Vec::<Value>::new());
    });
}

#[test]
fn in_audit_all_of_it_runs_and_is_recorded_as_what_would_be_denied() {
    bed(|bed| {
        furnish(bed);
        let guard = bed.guard_with("mode = \"prevent\"\n", "loaders = \"audit\"\ninterpreters = \"audit\"\n");
        assert!(runs(bed, "LD_PRELOAD=$D/lib.so /bin/true"));
        assert!(runs(bed, "sh $D/x.sh"));
        for action in ["load", "interpret"] {
            let records = records_of(&guard, action);
            assert_eq!(records.len(), 1, "{records:#?}");
            assert_eq!(records[0]["event"]["type"], serde_json::json!(["start", "allowed"]));
            assert_eq!(records[0]["tags"][0], "would-deny");
            assert_eq!(records[0]["shmguard"]["mode"], "audit");
        }
        // An exec is still denied.
        assert!(!runs(bed, "$D/program"));
    });
}

#[test]
fn each_key_switches_on_its_own_and_a_reload_both_ways() {
    bed(|bed| {
        furnish(bed);
        let guard = bed.guard_with("mode = \"prevent\"\n", "loaders = \"deny\"\n");
        assert!(!runs(bed, "LD_PRELOAD=$D/lib.so /bin/true"));
        assert!(runs(bed, "sh $D/x.sh"));
        bed.configure("mode = \"prevent\"\n", "interpreters = \"deny\"\n");
        guard.signal(nix::sys::signal::Signal::SIGHUP);
        wait_until("interpreters are looked at", || !runs(bed, "sh $D/x.sh"));
        assert!(runs(bed, "LD_PRELOAD=$D/lib.so /bin/true"));
        bed.configure("mode = \"prevent\"\n", "");
        guard.signal(nix::sys::signal::Signal::SIGHUP);
        wait_until("nothing of it is looked at", || runs(bed, "sh $D/x.sh"));
        bed.configure("mode = \"prevent\"\n", BOTH_DENIED);
        guard.signal(nix::sys::signal::Signal::SIGHUP);
        wait_until("both are looked at", || {
            !runs(bed, "sh $D/x.sh") && !runs(bed, "LD_PRELOAD=$D/lib.so /bin/true")
        });
        let mut guard = guard;
        guard.signal(nix::sys::signal::Signal::SIGTERM);
        assert!(guard.wait().success());
        assert!(runs(bed, "sh $D/x.sh"));
    });
}

#[test]
fn another_user_s_load_is_recorded_and_allowed_and_the_exception_holds_for_loads_too() {
    bed(|bed| {
        furnish(bed);
        fs::create_dir_all("/run/docker").unwrap();
        fs::copy(format!("{D}/lib.so"), "/run/docker/lib.so").unwrap();
        let guard = bed.guard_with("mode = \"prevent\"\n", BOTH_DENIED);
        assert!(runs(bed, "setpriv --reuid 65534 --clear-groups env LD_PRELOAD=$D/lib.so /bin/true"));
        assert!(runs(bed, "LD_PRELOAD=/run/docker/lib.so /bin/true"));
        let cases: Vec<_> =
            records_of(&guard, "load").into_iter().map(|record| record["tags"][0].clone()).collect();
        assert_eq!(cases, ["allowed", "excepted"]);
    });
}

#[test]
fn a_process_that_has_dropped_root_for_a_while_is_root() {
    bed(|bed| {
        furnish(bed);
        let guard = bed.guard_with("mode = \"prevent\"\n", BOTH_DENIED);
        // The saved uid stays 0, and the library could take it back.
        let line =
            "setpriv --euid 65534 --clear-groups perl -e 'exec @ARGV' env LD_PRELOAD=$D/lib.so /bin/true";
        let _saved = line;
        let code = "import ctypes, os, sys; os.setresuid(65534, 65534, 0); ctypes.CDLL(sys.argv[1])";
        assert!(!runs(bed, &format!("/usr/bin/python3 -c '{code}' $D/lib.so")));
        let records = records_of(&guard, "load");
        assert_eq!(records.last().unwrap()["user"]["id"], "0", "{records:#?}");
    });
}

#[test]
fn the_ways_that_stay_open_are_the_ones_that_the_manual_names() {
    bed(|bed| {
        furnish(bed);
        let guard = bed.guard_with("mode = \"prevent\"\n", BOTH_DENIED);
        for (line, _) in [
            ("sh <$D/x.sh", ""),
            (". $D/x.sh", ""),
            ("cat $D/x.sh | sh", ""),
            ("cp /bin/sh $T/renamed-shell; $T/renamed-shell $D/x.sh", ""),
            ("/lib64/ld-linux-x86-64.so.2 /bin/sh $D/x.sh", ""),
            ("cd $D; /usr/bin/python3 -m x", "python3"),
            ("PYTHONPATH=$D /usr/bin/python3 -c 'import x'", "python3"),
            ("PATH=$D:$PATH bash x.sh", "bash"),
            ("BASH_ENV=$D/x.sh bash -c true", "bash"),
            ("ENV=$D/x.sh dash -i </dev/null", "dash"),
            ("NODE_OPTIONS=--require=$D/x.js node -e 0", "node"),
            ("node --title name $D/x.js", "node"),
            ("cp $D/x.js $D/package/index.js; node $D/package", "node"),
            ("MAKEFILES=$D/x.mk make -f /dev/null all", "make"),
            ("cp $D/x.mk $D/package/Makefile; make -C $D/package", "make"),
            ("LUA_INIT=@$D/x.lua lua5.4 -e ''", "lua5.4"),
        ]
        .into_iter()
        .filter(|(_, needed)| has(needed))
        {
            assert!(
                runs(bed, line),
                "it is closed: take it out of the manual: {line}: {}",
                shell(bed, line).0
            );
        }
        assert_eq!(records_of(&guard, "interpret"), Vec::<Value>::new());
    });
}
