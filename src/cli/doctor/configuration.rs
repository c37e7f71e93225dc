//! What the operator's files switch off or leave open.

use super::facts::{Allowed, Facts, LogTrouble, Policy, Trouble};
use super::finding::{Check, Finding, few, key, reload};
use crate::event::Effect;
use crate::policy::config::Config;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "configuration", what: "the configuration has no mistakes", judge: configuration },
    Check { id: "ownership", what: "configuration and policy are root's alone", judge: ownership },
    Check { id: "rules", what: "root's program in each watched directory is denied", judge: rules },
    Check { id: "gained-privilege", what: "a user's program that gains privilege is denied", judge: gained },
    Check { id: "exceptions", what: "what is excepted is at least recorded", judge: exceptions },
    Check { id: "trials", what: "no deny rule is only tried or has ended", judge: trials },
    Check { id: "on-unknown", what: "what cannot be found out does not allow", judge: on_unknown },
    Check { id: "log-directory", what: "the records are safe from others and from a reboot", judge: log },
];

fn configuration(facts: &Facts) -> Finding {
    let file = || {
        facts.files.path.as_ref().map_or("no file: defaults".to_owned(), |path| path.display().to_string())
    };
    match (&facts.files.config, &facts.files.policy) {
        (Err(trouble), _) | (Ok(_), Err(trouble)) => troubled(trouble),
        (Ok(_), Ok(_)) => Finding::covered(file()),
    }
}

fn ownership(facts: &Facts) -> Finding {
    match facts.files.ownership.as_slice() {
        [] => match &facts.files.config {
            Err(Trouble::Unreadable(why)) => Finding::unknown(why.clone()),
            Ok(_) | Err(Trouble::Wrong(_)) => Finding::covered("they and their directories"),
        },
        [(first, _), ..] => Finding::open(first.clone())
            .close_all(facts.files.ownership.iter().map(|(_, remedy)| remedy.clone()))
            .breaks("nothing: a guard does not start from them as they are"),
    }
}

fn rules(facts: &Facts) -> Finding {
    with_policy(facts, |policy| match (may(&policy.root_may), policy.builtin) {
        (None, true) => Finding::covered("in each"),
        (None, false) => Finding::covered("in each, by other rules than the built-in ones"),
        (Some(what), builtin) => {
            let finding = Finding::open(what);
            match builtin {
                true => finding.close("shmguard explain PATH    # says by which rule and why"),
                false => finding.close(key(facts, "", "builtin = true")).close(reload(facts)),
            }
        }
    })
}

fn gained(facts: &Facts) -> Finding {
    with_policy(facts, |policy| match may(&policy.gaining_may) {
        None => Finding::covered("set-uid files, file capabilities, ambient capabilities"),
        Some(what) => Finding::open(what)
            .close("add to a deny rule: or shmguard.gains_privilege == true")
            .close(reload(facts)),
    })
}

fn exceptions(facts: &Facts) -> Finding {
    with_policy(facts, |policy| {
        let names: Vec<_> = policy.exceptions.iter().map(String::as_str).collect();
        match names.is_empty() {
            true => Finding::covered("no rule makes an exception"),
            // Each is the operator's own decision: named, and not called a hole.
            false => Finding::covered(format!(
                "{}: each is a way in for root, on purpose; see shmguard policy show",
                few(&names)
            )),
        }
    })
}

fn trials(facts: &Facts) -> Finding {
    with_policy(facts, |policy| {
        if policy.trials.is_empty() && policy.expired.is_empty() {
            return Finding::covered("none");
        }
        let tried = policy.trials.iter().map(|id| (id, format!("take mode = \"audit\" out of rule {id}")));
        let ended =
            policy.expired.iter().map(|id| (id, format!("give rule {id} a later `expires`, or remove it")));
        let all: Vec<_> = tried.chain(ended).collect();
        let names: Vec<_> = all.iter().map(|(id, _)| id.as_str()).collect();
        Finding::open(few(&names)).close_all(all.iter().map(|(_, line)| line.clone())).close(reload(facts))
    })
}

fn on_unknown(facts: &Facts) -> Finding {
    with_config(facts, |config| match config.on_unknown {
        Effect::Deny => Finding::covered("on_unknown is \"deny\""),
        Effect::Allow => Finding::open("on_unknown is \"allow\"")
            .close(key(facts, "", "on_unknown = \"deny\""))
            .close(reload(facts))
            .breaks("programs whose caller or file cannot be identified in time"),
    })
}

fn log(facts: &Facts) -> Finding {
    let trouble = match &facts.files.log {
        Ok(()) => return Finding::covered("its directory is root's, and on a disk"),
        Err(trouble) => trouble,
    };
    let path = |config: &Config| {
        config.log.file.path.parent().map(|parent| parent.display().to_string()).unwrap_or_default()
    };
    with_config(facts, |config| {
        let directory = path(config);
        match trouble {
            LogTrouble::Unreadable(why) => Finding::unknown(why.clone()),
            LogTrouble::Missing => Finding::open(format!("{directory} is not there"))
                .close(format!("install -d -m 750 -g adm {directory}")),
            LogTrouble::Writable => Finding::open(format!("others than root can write to {directory}"))
                .close(format!("chown root {directory} && chmod go-w {directory}")),
            LogTrouble::InMemory => Finding::open(format!(
                "{directory} lies in memory and is gone after a reboot"
            ))
            .close(key(facts, "log.file", "path = \"/var/log/shmguard/events.ndjson\"")),
        }
    })
}

/// What is allowed that should not be, and by which rule; `None`: nothing.
pub(super) fn may(found: &[Allowed]) -> Option<String> {
    let (path, rule) = found.first()?;
    let more = match found.len() {
        1 => String::new(),
        count => format!(", and in {} more directories", count - 1),
    };
    Some(match rule {
        Some(rule) => format!("{path} would be allowed by rule {rule}{more}"),
        None => format!("{path} would be allowed: no rule matches{more}"),
    })
}

fn with_config(facts: &Facts, judge: impl Fn(&Config) -> Finding) -> Finding {
    match &facts.files.config {
        Ok(config) => judge(config),
        Err(_) => Finding::unknown("the configuration cannot be read"),
    }
}

fn with_policy(facts: &Facts, judge: impl Fn(&Policy) -> Finding) -> Finding {
    match &facts.files.policy {
        Ok(policy) => judge(policy),
        Err(_) => Finding::unknown("the policy cannot be read"),
    }
}

fn troubled(trouble: &Trouble) -> Finding {
    match trouble {
        Trouble::Unreadable(why) => Finding::unknown(why.clone()),
        Trouble::Wrong(first) => {
            Finding::open(first.clone()).close("shmguard policy check    # shows all of it")
        }
    }
}
