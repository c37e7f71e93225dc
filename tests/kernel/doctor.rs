//! What `doctor` finds, on a host that is made to be one way and then another.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use serde_json::Value;

use crate::bed::{Bed, bed, tmpfs};

/// What it found, by the ids of the checks.
struct Findings {
    checks: BTreeMap<String, Value>,
    code: Option<i32>,
}

impl Findings {
    #[track_caller]
    fn state(&self, id: &str) -> &str {
        self.checks.get(id).unwrap_or_else(|| panic!("no check {id}"))["state"].as_str().unwrap()
    }

    #[track_caller]
    fn is(&self, id: &str, state: &str, found: &str) {
        let check = &self.checks[id];
        assert!(self.state(id) == state && check["found"].as_str().unwrap().contains(found), "{check:#}");
    }

    #[track_caller]
    fn closes(&self, id: &str, with: &str) {
        let check = &self.checks[id];
        assert!(
            check["close"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains(with)),
            "{check:#}"
        );
    }
}

/// Asks as root, about the guard and the configuration of this bed.
#[track_caller]
fn doctor(bed: &Bed) -> Findings {
    ask(Command::new(env!("CARGO_BIN_EXE_shmguard")), bed)
}

#[track_caller]
fn ask(mut command: Command, bed: &Bed) -> Findings {
    let config = bed.path("shmguard.toml");
    if !config.exists() {
        bed.configure("mode = \"prevent\"", "");
    }
    command.args(["doctor", "--json", "--config"]).arg(config).arg("--socket").arg(bed.path("control.sock"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.is_empty(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap().iter();
    let checks = checks.map(|check| (check["id"].as_str().unwrap().to_owned(), check.clone())).collect();
    Findings { checks, code: output.status.code() }
}

#[test]
fn the_guard_and_its_mode_are_found() {
    bed(|bed| {
        let none = doctor(bed);
        none.is("guard", "open", "no guard is running");
        none.is("exec", "open", "no guard runs");
        none.is("mode", "open", "");
        assert_eq!(none.code, Some(1));
        {
            let _guard = bed.guard("mode = \"audit\"");
            let audit = doctor(bed);
            audit.is("guard", "covered", "process");
            audit.is("mode", "open", "audit");
            audit.is("exec", "covered", "recorded, not denied");
            audit.is("take-over", "open", "nobody");
            audit.is("copies", "open", "neither");
            audit.is("in-force", "covered", "");
        }
        let _guard = bed.supervised("mode = \"prevent\"");
        let prevent = doctor(bed);
        prevent.is("mode", "covered", "prevent");
        prevent.is("exec", "covered", "denied by the rules on /dev");
        prevent.is("take-over", "covered", "parent");
        prevent.is("exec-events", "covered", "taken");
        prevent.is("directories", "covered", "/dev/shm, /run");
    });
}

#[test]
fn what_the_configuration_switches_on_is_in_force_only_when_the_guard_has_read_it() {
    bed(|bed| {
        let guard = bed.guard_with("mode = \"prevent\"", "");
        let before = doctor(bed);
        for id in
            ["loaders", "interpreters", "memfd", "map-files", "detached-mount", "mount-race", "containers"]
        {
            assert_eq!(before.state(id), "open", "{id}");
        }
        before.closes("memfd", "vm.memfd_noexec = 2");
        before.closes("loaders", "loaders = \"deny\"");
        bed.configure(
            "mode = \"prevent\"",
            "loaders = \"deny\"\ninterpreters = \"audit\"\nunseen = \"report\"\ncontainers = false\n",
        );
        assert_eq!(doctor(bed).state("loaders"), "open");
        let (_, code, error) = guard.ask(&["reload"]);
        assert_eq!(code, Some(0), "{error}");
        let after = doctor(bed);
        after.is("loaders", "covered", "denied");
        after.is("interpreters", "covered", "recorded");
        after.is("containers", "open", "false");
        for id in ["memfd", "map-files", "detached-mount", "mount-race"] {
            after.is(id, "covered", "told after the fact");
        }
    });
}

#[test]
fn a_policy_that_is_not_in_force_or_denies_nobody_is_found() {
    bed(|bed| {
        let rules = bed.path("rules.toml");
        let policy = format!("policy = [\"{}\"]\n", rules.display());
        let write = |text: &str| fs::write(&rules, format!("[[rule]]\n{text}")).unwrap();
        write("id = \"mine\"\neffect = \"allow\"\nwhen = 'process.executable like \"/run/mine/*\"'\n");
        let guard = bed.guard(&format!("mode = \"prevent\"\n{policy}"));
        let good = doctor(bed);
        good.is("rules", "covered", "in each");
        good.is("exceptions", "covered", "mine");
        good.is("in-force", "covered", "same");
        good.is("ownership", "covered", "");
        write("id = \"mine\"\neffect = \"allow\"\nwhen = 'process.executable like \"/run/*\"'\n");
        let wide = doctor(bed);
        wide.is("rules", "open", "would be allowed by rule mine");
        wide.is("in-force", "open", "another one");
        bed.configure(&format!("builtin = false\n{policy}"), "");
        let none = doctor(bed);
        none.closes("rules", "builtin = true");
        none.is("gained-privilege", "open", "/dev/shm/");
        fs::set_permissions(&rules, fs::Permissions::from_mode(0o666)).unwrap();
        doctor(bed).closes("ownership", "chmod go-w");
        fs::write(&rules, "nonsense").unwrap();
        doctor(bed).is("configuration", "open", "rules.toml:1:");
        drop(guard);
    });
}

/// What the keys and the mode say is not what the rules in force say.
#[test]
fn what_a_rule_lets_through_is_not_called_denied() {
    bed(|bed| {
        let rules = bed.path("rules.toml");
        let configuration = format!("mode = \"prevent\"\npolicy = [\"{}\"]", rules.display());
        let with = |condition: &str| {
            let rule = format!("[[rule]]\nid = \"mine\"\neffect = \"allow\"\nwhen = '{condition}'\n");
            fs::write(&rules, rule).unwrap();
            let _guard = bed.guard_with(&configuration, "loaders = \"deny\"\ninterpreters = \"deny\"\n");
            doctor(bed)
        };
        let other = with("process.executable == \"/dev/shm/other\"");
        for (id, found) in
            [("loaders", "denied"), ("interpreters", "denied"), ("exec", "denied by the rules")]
        {
            other.is(id, "covered", found);
        }
        let opens = with("event.action == \"load\" or event.action == \"interpret\"");
        for id in ["loaders", "interpreters"] {
            opens.is(id, "open", "would be allowed by rule mine");
            opens.closes(id, &format!("shmguard reload --socket {}", bed.path("control.sock").display()));
        }
        opens.is("exec", "covered", "denied by the rules");
        opens.is("rules", "covered", "");
        let execs = with("process.executable like \"/dev/shm/*\" and event.action == \"exec\"");
        execs.is("rules", "open", "/dev/shm/");
        execs.is("exec", "covered", "not always denied");
        execs.is("loaders", "covered", "denied");
    });
}

#[test]
fn a_directory_on_a_larger_filesystem_is_found_with_and_without_a_guard() {
    bed(|bed| {
        let directory = bed.path("plain");
        fs::create_dir_all(&directory).unwrap();
        let watch = format!("directories = [\"/dev/shm\", \"{}\"]", directory.display());
        bed.configure("mode = \"prevent\"", &watch);
        let is_found = |findings: &Findings| {
            findings.is("directories", "open", directory.to_str().unwrap());
            findings.closes("directories", &format!("tmpfs {} tmpfs", directory.display()));
            findings.closes("directories", "shared_filesystem = \"mark\"");
        };
        is_found(&doctor(bed));
        {
            let _guard = bed.ready(&bed.path("shmguard.toml"));
            is_found(&doctor(bed));
        }
        tmpfs(directory.to_str().unwrap());
        let _guard = bed.ready(&bed.path("shmguard.toml"));
        doctor(bed).is("directories", "covered", directory.to_str().unwrap());
    });
}

#[test]
fn noexec_covers_loads_and_says_that_it_is_silent() {
    bed(|bed| {
        doctor(bed).is("noexec", "not_applicable", "");
        for path in ["/dev/shm", "/run"] {
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOEXEC;
            mount(None::<&str>, path, None::<&str>, flags, None::<&str>).unwrap();
        }
        let _guard = bed.prevent();
        let findings = doctor(bed);
        findings.is("noexec", "covered", "/dev/shm, /run");
        findings.is("loaders", "covered", "noexec");
        assert_eq!(findings.state("interpreters"), "open");
    });
}

#[test]
fn the_value_of_memfd_noexec_is_that_of_the_pid_namespace() {
    if !Path::new("/proc/sys/vm/memfd_noexec").exists() {
        eprintln!("SKIPPED: this kernel has no vm.memfd_noexec");
        return;
    }
    bed(|bed| {
        for (value, state) in [(1, "open"), (2, "covered")] {
            let mut inside = Command::new("unshare");
            // What is exec'd there is the doctor; the shell sets the value of its own namespace only.
            let set = format!("echo {value} >/proc/sys/vm/memfd_noexec && exec \"$0\" \"$@\"");
            inside.args([
                "--pid",
                "--fork",
                "--mount-proc",
                "sh",
                "-c",
                &set,
                env!("CARGO_BIN_EXE_shmguard"),
            ]);
            let findings = ask(inside, bed);
            findings.is("memfd", state, &format!("vm.memfd_noexec is {value}"));
            findings.is("namespaces", "open", "in a container");
            findings.is("connector", "open", "in a container");
        }
        assert_eq!(fs::read_to_string("/proc/sys/vm/memfd_noexec").unwrap().trim(), "0");
    });
}

#[test]
fn whoever_is_not_root_sees_what_can_be_seen_and_is_told_the_rest() {
    bed(|bed| {
        let as_nobody = || {
            let program = bed.path("shmguard");
            if !program.exists() {
                fs::copy(env!("CARGO_BIN_EXE_shmguard"), &program).unwrap();
            }
            let mut command = Command::new(program);
            command.uid(65534).gid(65534);
            ask(command, bed)
        };
        as_nobody().is("guard", "open", "no guard is running");
        let _guard = bed.guard("mode = \"prevent\"");
        let findings = as_nobody();
        findings.is("guard", "unknown", "only root may speak");
        findings.is("exec", "unknown", "only root");
        findings.is("exec-events", "unknown", "only root");
        findings.is("rules", "covered", "");
        findings.is("directories", "covered", "/dev/shm");
    });
}

#[test]
fn nothing_of_the_host_is_changed_and_no_exec_waits_for_it() {
    bed(|bed| {
        let table = || fs::read_to_string("/proc/self/mountinfo").unwrap();
        let before = table();
        let program = bed.program("/dev/shm/x");
        doctor(bed);
        assert_eq!(table(), before);
        assert_eq!(crate::bed::exec(&program), crate::bed::Exec::Ran(0));
    });
}

#[test]
fn a_configuration_that_is_named_and_cannot_be_read_is_no_finding() {
    bed(|bed| {
        fs::write(bed.path("shmguard.toml"), "mode = \"prevnt\"\n").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_shmguard"))
            .args(["doctor", "--config"])
            .arg(bed.path("shmguard.toml"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78));
        assert!(String::from_utf8_lossy(&output.stderr).contains("prevnt"));
    });
}
