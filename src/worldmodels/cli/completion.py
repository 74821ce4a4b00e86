"""Scripts that make a shell complete commands, flags, their values and tasks, written from the parsers themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Bash's and zsh's: sets what fits, one word or more in ``found``, and ``files`` where a file may stand there, too.
_FITS = """\
# The command, the word after it, the word before the one to complete, the place of that, and what there is of it.
_worldmodels_fits() {{
    local verb="$1" kind="$2" before="$3" place="$4" word="$5" flags=""
    found="" files=""
    if [ "$place" -eq 1 ]; then found="{verbs} --help --version --quiet --verbose"; return; fi
    case "$verb" in
        help) if [ "$place" -eq 2 ]; then found="{verbs}"; elif [ "$kind" = export ]; then found="{exports}"; fi; return ;;
        export) if [ "$place" -eq 2 ]; then found="{exports} --help"; return; fi; verb="export $kind" ;;
    esac
    case "$verb $before" in
{values}
    esac
    case "$verb" in
{cases}
        *) return ;;
    esac
    case "$word" in -*) found="$flags"; files="" ;; esac
}}
"""
_BASH = """\
_worldmodels() {
    local found files word="${COMP_WORDS[COMP_CWORD]}" IFS=$'\\n'
    _worldmodels_fits "${COMP_WORDS[1]}" "${COMP_WORDS[2]}" "${COMP_WORDS[COMP_CWORD-1]}" "$COMP_CWORD" "$word"
    COMPREPLY=($(compgen -W "${found// /$'\\n'}" -- "$word"))
    if [ -n "$files" ]; then COMPREPLY+=($(compgen -f -- "$word")); fi
}
complete -o filenames -F _worldmodels worldmodels
"""
_ZSH = """\
_worldmodels() {
    local found files
    _worldmodels_fits "${words[2]}" "${words[3]}" "${words[CURRENT-1]}" "$((CURRENT - 1))" "${words[CURRENT]}"
    compadd -- ${=found}
    if [ -n "$files" ]; then _files; fi
}
if [ "$funcstack[1]" = _worldmodels ]; then
    _worldmodels "$@"
else
    (( $+functions[compdef] )) || { autoload -U compinit && compinit -i }
    compdef _worldmodels worldmodels
fi
"""


def completion(
    shell: str,
    flags: Mapping[str, Mapping[str, Sequence[str]]],
    verbs: Sequence[str],
    targets: Mapping[str, Sequence[str | None]],
) -> str:
    """Returns the script.

    Args:
        shell: bash, zsh or fish.
        flags: of each command, that of `export` with its kind (``export web``), its flags and which words each takes, if they
            are known.
        verbs: all commands.
        targets: of each command what may stand where it takes no flag; with None at the end, files as well.
    """
    exports = [verb.split()[1] for verb in flags if verb.startswith("export ")]
    if shell == "fish":
        return _fish(flags, verbs, exports, targets)
    values = [
        f'        "{verb} {flag}") found="{" ".join(words)}"; return ;;'
        for verb, known in flags.items()
        for flag, words in known.items()
        if words
    ]
    cases = []
    for verb, known in flags.items():
        words = targets[verb]
        found = " ".join(word for word in words if word)
        cases.append(f'        "{verb}") found="{found}" files="{"yes" * (None in words)}" flags="{" ".join(known)}" ;;')
    parts = {"verbs": " ".join(verbs), "exports": " ".join(exports), "values": "\n".join(values), "cases": "\n".join(cases)}
    fits = _FITS.format(**parts)
    return fits + _BASH if shell == "bash" else f"#compdef worldmodels\n{fits}{_ZSH}"


def _fish(
    flags: Mapping[str, Mapping[str, Sequence[str]]],
    verbs: Sequence[str],
    exports: Sequence[str],
    targets: Mapping[str, Sequence[str | None]],
) -> str:
    start = "complete -c worldmodels"
    lines = [f"{start} -f -n __fish_use_subcommand -a '{' '.join(verbs)}'"]
    lines += [f"{start} -n __fish_use_subcommand -l {name}" for name in ("help", "version", "quiet", "verbose")]
    lines.append(f"{start} -f -n '__fish_seen_subcommand_from help' -a '{' '.join(verbs)}'")
    unsaid = f"__fish_seen_subcommand_from export; and not __fish_seen_subcommand_from {' '.join(exports)}"
    lines.append(f"{start} -f -n '{unsaid}' -a '{' '.join(exports)}'")
    for verb, known in flags.items():
        first, *rest = verb.split()
        kind = "".join(f"; and __fish_seen_subcommand_from {word}" for word in rest)
        after = f"-n 'not __fish_seen_subcommand_from help; and __fish_seen_subcommand_from {first}{kind}'"
        words = targets[verb]
        plain = "" if None in words else " -f"
        lines.append(f"{start}{plain} {after} -a '{' '.join(word for word in words if word)}'")
        for flag, taken in known.items():
            lines.append(f"{start} {after} -l {flag.removeprefix('--')}" + (f" -x -a '{' '.join(taken)}'" if taken else ""))
    return "\n".join(lines) + "\n"
