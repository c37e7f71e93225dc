//! Why a name is no field: mistyped, or a field that nobody can know before the exec.

use super::nearest::{did_you_mean, within};
use crate::event::Field;

/// What is wrong with a name that is not in the table of fields, and what to do.
pub(crate) fn explain(name: &str) -> (String, String) {
    let known = || Field::ALL.iter().map(|field| field.name());
    let message = format!("unknown field `{name}`");
    let exact = REASONS.iter().find(|(field, _)| *field == name);
    if let (None, Some(meant)) = (exact, within(name, known(), 2)) {
        return (message, format!("did you mean `{meant}`?"));
    }
    if let Some((_, why)) = exact.or_else(|| REASONS.iter().find(|(prefix, _)| is_below(name, prefix))) {
        return (format!("`{name}` cannot be used: {why}"), ADVICE.to_owned());
    }
    match did_you_mean(name, known()) {
        Some(help) => (message, help),
        None => (message, ADVICE.to_owned()),
    }
}

const ADVICE: &str = "shmguard-rules(5) lists the fields that can be known before the exec";

/// True for the name itself and whatever stands below it.
fn is_below(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// ECS fields that rules use and this program cannot offer, the longer names first.
const REASONS: &[(&str, &str)] = &[
    ("process.hash.md5", "files are hashed with SHA-256 alone: process.hash.sha256"),
    ("process.hash.sha1", "files are hashed with SHA-256 alone: process.hash.sha256"),
    ("process.hash.sha512", "files are hashed with SHA-256 alone: process.hash.sha256"),
    ("file.hash.md5", "files are hashed with SHA-256 alone: file.hash.sha256"),
    ("file.hash.sha1", "files are hashed with SHA-256 alone: file.hash.sha256"),
    ("process.exit_code", "the process has not ended before it starts"),
    ("process.end", "the process has not ended before it starts"),
    ("process.uptime", "the process has not started"),
    ("process.entity_id", "it is made from the record, after the decision"),
    ("process.parent.entity_id", "it is made from the record, after the decision"),
    ("process.code_signature", "Linux programs carry no signature"),
    ("process.parent.code_signature", "Linux programs carry no signature"),
    ("process.pe", "it describes programs of Windows"),
    ("process.macho", "it describes programs of macOS"),
    ("process.elf", "the file's content is not taken apart before the exec"),
    ("process.io", "the process has not written anything before it starts"),
    ("process.title", "it is chosen by the running process; process.command_line is known"),
    ("process.start", "moments cannot be compared"),
    ("process.supplemental_groups", "supplementary groups are not read"),
    ("process.Ext", "it is filled by Elastic's own sensor"),
    ("process.parent.Ext", "it is filled by Elastic's own sensor"),
    ("process.parent.hash", "the parent's file is not hashed"),
    ("event.kind", "it says what was decided"),
    ("event.outcome", "it says what was decided"),
    ("event.code", "it says what was decided"),
    ("event.severity", "it says what was decided"),
    ("event.risk_score", "it says what was decided"),
    ("rule", "it says what was decided"),
    ("threat", "it says what was decided"),
    ("network", "no connection exists before the exec"),
    ("source", "no connection exists before the exec"),
    ("destination", "no connection exists before the exec"),
    ("client", "no connection exists before the exec"),
    ("server", "no connection exists before the exec"),
    ("dns", "no connection exists before the exec"),
    ("http", "no connection exists before the exec"),
    ("url", "no connection exists before the exec"),
    ("registry", "it describes Windows"),
    ("dll", "it describes Windows"),
    ("winlog", "it describes Windows"),
    ("auditd", "it is filled by the audit daemon, after the exec"),
    ("agent", "it is filled by the agent that ships records"),
    ("data_stream", "it is filled by the agent that ships records"),
    ("orchestrator", "only the container's id is known before the exec: container.id"),
    ("kubernetes", "only the container's id is known before the exec: container.id"),
    ("container", "only the container's id is known before the exec: container.id"),
    ("cloud", "it is filled by the agent that ships records"),
    ("host", "of the host only host.os.type is known to rules"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_field_is_never_called_unknowable_and_others_are_explained() {
        for field in Field::ALL {
            assert!(REASONS.iter().all(|(name, _)| *name != field.name()), "{}", field.name());
        }
        assert!(explain("process.exit_code").0.contains("has not ended"));
        assert!(explain("auditd.data.a0").0.contains("audit daemon"));
        assert_eq!(explain("user.di").1, "did you mean `user.id`?");
        assert_eq!(explain("host.os.typ").1, "did you mean `host.os.type`?");
        assert_eq!(explain("host.name").1, ADVICE);
    }
}
