"""Scripts that make a shell complete commands, flags and tasks, written from the parsers themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_BASH = """\
_worldmodels() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" verb="${{COMP_WORDS[1]}}"
    if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "{verbs}" -- "$word")); return; fi
    if [[ "$verb" = export && "$COMP_CWORD" -gt 2 ]]; then verb="export ${{COMP_WORDS[2]}}"; fi
    case "$verb" in
{cases}
        *) local words="" ;;
    esac
    if [[ "$word" = -* ]]; then COMPREPLY=($(compgen -W "$words" -- "$word"))
    else COMPREPLY=($(compgen -W "{tasks}" -- "$word") $(compgen -f -- "$word")); fi
}}
complete -o filenames -F _worldmodels worldmodels
"""


def completion(shell: str, flags: Mapping[str, Sequence[str]], verbs: Sequence[str], tasks: Sequence[str]) -> str:
    """Returns the script.

    Args:
        shell: bash, zsh or fish.
        flags: of each command, that of `export` with its kind: ``export web``.
        verbs: all commands.
        tasks: what may stand where a command takes a target.
    """
    if shell == "fish":
        lines = ["complete -c worldmodels -f -n __fish_use_subcommand -a '" + " ".join(verbs) + "'"]
        for verb, found in flags.items():
            after = f"-n '__fish_seen_subcommand_from {verb.split()[0]}'"
            lines.append(f"complete -c worldmodels {after} -a '{' '.join(tasks)}'")
            lines += [f"complete -c worldmodels {after} -l {flag.removeprefix('--')}" for flag in found]
        return "\n".join(lines) + "\n"
    cases = "\n".join(f'        "{verb}") local words="{" ".join(found)}" ;;' for verb, found in flags.items())
    script = _BASH.format(verbs=" ".join(verbs), cases=cases, tasks=" ".join(tasks))
    return script if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{script}"
