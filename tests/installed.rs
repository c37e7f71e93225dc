//! What is installed beside the program agrees with the program: completions, manual pages, default configuration,
//! package. A file that has fallen behind fails here, with what to do.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;
use shmguard::cli::Cli;
use shmguard::policy::config::{self, Config};

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_completions_are_those_of_the_command_line() {
    let files = [
        (Shell::Bash, "packaging/usr/share/bash-completion/completions/shmguard"),
        (Shell::Zsh, "packaging/usr/share/zsh/vendor-completions/_shmguard"),
        (Shell::Fish, "packaging/usr/share/fish/vendor_completions.d/shmguard.fish"),
    ];
    for (shell, file) in files {
        let mut fresh = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "shmguard", &mut fresh);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(top().join(file), &fresh).unwrap();
        }
        let committed = std::fs::read(top().join(file)).unwrap_or_default();
        assert!(committed == fresh, "{file} is old; write it: UPDATE=1 cargo test --test installed");
    }
}

/// The page as text: font changes and escapes of roff taken away.
fn page(path: &str) -> String {
    let text =
        read(path).replace("\\-", "-").replace("\\(dq", "\"").replace("\\(ga", "`").replace("\\(aq", "'");
    let lines = text.lines().map(|line| match line.split_once(' ') {
        Some((request, rest)) if request.starts_with('.') => {
            rest.replace("\" \"", "\u{0}").replace(' ', "").replace('\u{0}', " ")
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_manual_names_every_command_and_every_option() {
    let manual = read("docs/man/shmguard.8").replace("\\-", "-");
    let cli = Cli::command();
    for command in
        cli.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
    {
        let name = command.get_name();
        let heading = format!("\n.SS {name}\n");
        let section =
            manual.split(&heading).nth(1).unwrap_or_else(|| panic!("shmguard.8 has no section for {name}"));
        let section = section.split("\n.S").next().unwrap_or_default();
        let parts: Vec<_> = command.get_subcommands().filter(|part| part.get_name() != "help").collect();
        for part in parts.iter().map(|part| part.get_name()) {
            let mentioned = [format!(".B {part}"), format!(".BR {part} "), format!(".BI {part} ")];
            let mentioned = mentioned.iter().any(|heading| section.contains(heading));
            assert!(mentioned, "shmguard.8 does not say what {name} {part} does");
        }
        let arguments = parts.iter().flat_map(|part| part.get_arguments()).chain(command.get_arguments());
        for option in arguments.filter_map(|argument| argument.get_long()) {
            let mentioned = section.contains(&format!("--{option}"));
            assert!(mentioned || option == "help", "shmguard.8 does not say what {name} --{option} is");
        }
    }
}

#[test]
fn the_manual_names_every_key_with_its_default() {
    let manual = page("docs/man/shmguard.toml.5");
    let defaults = read("packaging/etc/shmguard/shmguard.toml");
    for (section, key) in config::keys() {
        let default = default_of(&defaults, section, key);
        let plain = |text: &str| text.replace([' ', '"', '\n'], "");
        let wanted = plain(&format!("{key}={default}"));
        let part = match section {
            "" => manual.split("[watch]").next().unwrap(),
            _ => manual
                .split(&format!("\n[{section}]\n"))
                .nth(1)
                .unwrap_or_else(|| panic!("no section {section}")),
        };
        assert!(plain(part).contains(&wanted), "shmguard.toml.5 has no {wanted} in [{section}]");
    }
}

/// The text behind `#key = ` in the section of the default file.
fn default_of(defaults: &str, section: &str, key: &str) -> String {
    let mut current = String::new();
    for line in defaults.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut current);
        }
        if let Some(value) = line.strip_prefix(&format!("#{key} = "))
            && current == section
        {
            return value.to_owned();
        }
    }
    panic!("packaging/etc/shmguard/shmguard.toml has no #{key} in [{section}]")
}

#[test]
fn the_default_configuration_means_the_defaults_with_and_without_its_comments() {
    let file = read("packaging/etc/shmguard/shmguard.toml");
    assert_eq!(config::parse(None, &file), Ok(Config::default()));
    let mut spoken = String::new();
    for line in file.lines() {
        // A comment has a space behind its sign, a default has not.
        let silent = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.is_empty());
        spoken.push_str(silent.unwrap_or(line));
        spoken.push('\n');
    }
    assert_eq!(config::parse(None, &spoken), Ok(Config::default()));
    for (section, key) in config::keys() {
        default_of(&file, section, key);
    }
}

#[test]
fn what_is_installed_never_prevents_by_itself() {
    let active = |line: &&str| !line.trim_start().starts_with('#');
    for file in ["packaging/usr/lib/systemd/system/shmguard.service", "packaging/DEBIAN/postinst"] {
        let text = read(file);
        assert!(!text.lines().filter(active).any(|line| line.contains("prevent")), "{file}");
    }
    assert_eq!(Config::default().mode, shmguard::event::Mode::Audit);
}

#[test]
fn the_package_has_the_version_of_the_program() {
    let changelog = read("packaging/DEBIAN/changelog");
    assert!(changelog.starts_with(&format!("shmguard ({}) ", env!("CARGO_PKG_VERSION"))));
    for page in ["shmguard.8", "shmguard.toml.5"] {
        let title = read(&format!("docs/man/{page}"));
        assert!(
            title.lines().next().unwrap().contains(&format!("\"shmguard {}\"", env!("CARGO_PKG_VERSION"))),
            "{page}"
        );
    }
}

#[test]
fn the_manual_pages_are_sound_roff() {
    if !Path::new("/usr/bin/man").exists() || !Path::new("/usr/bin/groff").exists() {
        eprintln!("SKIPPED: man and groff are not installed");
        return;
    }
    for page in ["shmguard.8", "shmguard.toml.5"] {
        #[expect(clippy::disallowed_methods, reason = "a test holds no group")]
        let output = std::process::Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(top().join("docs/man").join(page))
            .env("LC_ALL", "C.UTF-8")
            .env("MANROFFSEQ", "")
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && complaints.is_empty(), "{page}: {complaints}");
    }
}
