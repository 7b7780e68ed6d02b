"""Why a command failed for want of a terminal or a person, told so that the model does not try the same again."""

import re

NO_EDITOR = "kimi: no editor is available here"

_HINTS = {
    r"sudo: .*(?:terminal is required|password is required|no tty|askpass)": (
        "sudo cannot ask for a password here. Do without root, or ask the user to run the command."
    ),
    r"terminal prompts disabled|could not read (?:Username|Password)|Authentication failed for 'http": (
        "git cannot ask for credentials here. Ask the user to sign in (a credential helper or an SSH key)."
    ),
    r"Permission denied \(publickey|Host key verification failed|read_passphrase|ssh_askpass": (
        "ssh cannot ask questions here. It needs a key in an agent and a known host: ask the user."
    ),
    rf"{NO_EDITOR}|problem with the editor": (
        "There is no editor. Pass the text as an option (git commit -m, git rebase with GIT_SEQUENCE_EDITOR=true)."
    ),
    r"gpg failed to sign|gpg: signing failed": "gpg cannot ask for a passphrase here. Ask the user, or sign later.",
    r"EOFError: EOF when reading a line|Aborted!\s*$|User force closed the prompt": (
        "The command asked a question; its input is empty. Use its non-interactive option (such as --yes)."
    ),
    r"[Ii]nput is not from a terminal|(?<!because stdin is )not a (?:tty|TTY|terminal)"
    r"|Error opening terminal|[Ii]nappropriate ioctl"
    r"|/dev/tty: No such device|failed tty get|Standard input is not a terminal": (
        "The command wants a terminal; there is none. Use its non-interactive form."
    ),
}


def hint_for(output: str) -> str:
    """A sentence about the failure that the end of `output` shows, empty when it shows none of the known ones."""
    end = output[-4000:]
    return next((hint for pattern, hint in _HINTS.items() if re.search(pattern, end)), "")
