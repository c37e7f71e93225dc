# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_shmguard_global_optspecs
    string join \n h/help V/version
end

function __fish_shmguard_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_shmguard_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_shmguard_using_subcommand
    set -l cmd (__fish_shmguard_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c shmguard -n "__fish_shmguard_needs_command" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_needs_command" -s V -l version -d 'Print version'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "run" -d 'Guard the watched directories, in the foreground'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "status" -d 'Show the state of the running guard'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "mode" -d 'Show or change the mode of the running guard'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "reload" -d 'Make the running guard read its policy and configuration again'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "policy" -d 'Check, show, test and import rules'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "explain" -d 'Say what would be decided for a file and a user, and why'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "replay" -d 'Decide recorded exec events again'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "events" -d 'Show what was recorded, or prove that nothing of it is missing'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "report" -d 'Show what prevention denies or would deny, grouped, with proposed exceptions'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "doctor" -d 'Say which ways around the guard this host leaves open, and what closes each'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "drill" -d 'Try known attack sequences, with harmless stand-ins, against a guard of its own'
complete -c shmguard -n "__fish_shmguard_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shmguard -n "__fish_shmguard_using_subcommand run" -l config -d 'The configuration; without it /etc/shmguard/shmguard.toml if that exists, else the embedded policy, audit mode, and records to standard error only' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand run" -l mode -d 'Stands above the configuration\'s mode' -r
complete -c shmguard -n "__fish_shmguard_using_subcommand run" -l supervise -d 'A small parent keeps the waiting execs and starts the guard again when it dies; for hosts without systemd'
complete -c shmguard -n "__fish_shmguard_using_subcommand run" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_using_subcommand status" -l socket -d 'The guard\'s control socket; by default the one that the configuration names' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand status" -l json -d 'Print everything as one JSON object'
complete -c shmguard -n "__fish_shmguard_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmguard -n "__fish_shmguard_using_subcommand mode" -l for -d 'How long it holds, such as 90s, 30m or 2h; at most a year; afterwards the mode of the configuration' -r
complete -c shmguard -n "__fish_shmguard_using_subcommand mode" -l socket -d 'The guard\'s control socket; by default the one that the configuration names' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand mode" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmguard -n "__fish_shmguard_using_subcommand reload" -l socket -d 'The guard\'s control socket; by default the one that the configuration names' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and not __fish_seen_subcommand_from check show test import help" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and not __fish_seen_subcommand_from check show test import help" -f -a "check" -d 'Say what is wrong with policy files'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and not __fish_seen_subcommand_from check show test import help" -f -a "show" -d 'Print the rules that hold, in the order in which they are tried'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and not __fish_seen_subcommand_from check show test import help" -f -a "test" -d 'Run cases: attempts with the decision that must come of them'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and not __fish_seen_subcommand_from check show test import help" -f -a "import" -d 'Turn a detection rule of Elastic into one of ours'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and not __fish_seen_subcommand_from check show test import help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from check" -l config -d 'The configuration that names the policy [default: /etc/shmguard/shmguard.toml, if it exists]' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from show" -l config -d 'The configuration that names the policy [default: /etc/shmguard/shmguard.toml, if it exists]' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from test" -l policy -d 'Try the cases on exactly these policy files, whatever they name' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from test" -l config -d 'The configuration that names the policy [default: /etc/shmguard/shmguard.toml, if it exists]' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from test" -s q -l quiet -d 'Print failed cases alone'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from import" -l config -d 'The configuration that names the policy [default: /etc/shmguard/shmguard.toml, if it exists]' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "check" -d 'Say what is wrong with policy files'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the rules that hold, in the order in which they are tried'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "test" -d 'Run cases: attempts with the decision that must come of them'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "import" -d 'Turn a detection rule of Elastic into one of ours'
complete -c shmguard -n "__fish_shmguard_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shmguard -n "__fish_shmguard_using_subcommand explain" -l user -d 'The user that it would run as: a name or a number [default: root]' -r
complete -c shmguard -n "__fish_shmguard_using_subcommand explain" -l parent -d 'The parent process\'s program' -r
complete -c shmguard -n "__fish_shmguard_using_subcommand explain" -l field -d 'Another field and its value; may be given more than once, also for several values of one field' -r
complete -c shmguard -n "__fish_shmguard_using_subcommand explain" -l policy -d 'Ask exactly these policy files' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand explain" -l config -d 'The configuration that names the policy [default: /etc/shmguard/shmguard.toml, if it exists]' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand explain" -l json -d 'Print JSON'
complete -c shmguard -n "__fish_shmguard_using_subcommand explain" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_using_subcommand replay" -l policy -d 'Exactly these policy files, and not the embedded policy either; may be given more than once' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand replay" -l config -d 'The configuration that names the policy [default: /etc/shmguard/shmguard.toml, if it exists]' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand replay" -l json -d 'Print the summary as JSON'
complete -c shmguard -n "__fish_shmguard_using_subcommand replay" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_using_subcommand events" -l config -d 'The configuration that names the policy [default: /etc/shmguard/shmguard.toml, if it exists]' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand events" -s f -l follow -d 'Go on with what comes, until Ctrl-C'
complete -c shmguard -n "__fish_shmguard_using_subcommand events" -l alerts -d 'Only what was denied, would be denied, or was not delivered'
complete -c shmguard -n "__fish_shmguard_using_subcommand events" -l verify -d 'Prove that every record is there, once and in order'
complete -c shmguard -n "__fish_shmguard_using_subcommand events" -l json -d 'Print the records as they are'
complete -c shmguard -n "__fish_shmguard_using_subcommand events" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_using_subcommand report" -l config -d 'The configuration that names the policy [default: /etc/shmguard/shmguard.toml, if it exists]' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand report" -l since -d 'Only what happened since: a span (30m, 24h, 7d) or a time (2026-01-31, 2026-01-31T12:00:00Z)' -r
complete -c shmguard -n "__fish_shmguard_using_subcommand report" -l html -d 'Also write a page to read and to hand on' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand report" -l json -d 'Print the groups as JSON'
complete -c shmguard -n "__fish_shmguard_using_subcommand report" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_using_subcommand doctor" -l config -d 'The configuration to look at [default: /etc/shmguard/shmguard.toml, if it exists]' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand doctor" -l socket -d 'The guard\'s control socket; by default the one that the configuration names' -r -F
complete -c shmguard -n "__fish_shmguard_using_subcommand doctor" -l json -d 'Print everything as one JSON object'
complete -c shmguard -n "__fish_shmguard_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmguard -n "__fish_shmguard_using_subcommand drill" -l json -d 'Print one JSON object instead of the table'
complete -c shmguard -n "__fish_shmguard_using_subcommand drill" -l keep -d 'Keep the records that the drill\'s guard wrote, and say where'
complete -c shmguard -n "__fish_shmguard_using_subcommand drill" -s h -l help -d 'Print help'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "run" -d 'Guard the watched directories, in the foreground'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "status" -d 'Show the state of the running guard'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "mode" -d 'Show or change the mode of the running guard'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "reload" -d 'Make the running guard read its policy and configuration again'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "policy" -d 'Check, show, test and import rules'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "explain" -d 'Say what would be decided for a file and a user, and why'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "replay" -d 'Decide recorded exec events again'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "events" -d 'Show what was recorded, or prove that nothing of it is missing'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "report" -d 'Show what prevention denies or would deny, grouped, with proposed exceptions'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "doctor" -d 'Say which ways around the guard this host leaves open, and what closes each'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "drill" -d 'Try known attack sequences, with harmless stand-ins, against a guard of its own'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and not __fish_seen_subcommand_from run status mode reload policy explain replay events report doctor drill help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "check" -d 'Say what is wrong with policy files'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "show" -d 'Print the rules that hold, in the order in which they are tried'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "test" -d 'Run cases: attempts with the decision that must come of them'
complete -c shmguard -n "__fish_shmguard_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "import" -d 'Turn a detection rule of Elastic into one of ours'
