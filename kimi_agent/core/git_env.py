"""The environment in which git reads a repository without running anything that the repository names.

The configuration of the command line wins over that of the repository. It cannot say that there is no external diff, no filter
and no textconv: who calls git gives `--no-ext-diff --no-textconv` too, or looks at the configuration first (rules/git.py).
"""

from pathlib import Path

_CONFIG = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "core.attributesFile": str(Path(__file__).with_name("secret.gitattributes")),
    "core.sshCommand": "false",
    "diff.autoRefreshIndex": "false",
    "diff.ignoreSubmodules": "all",
    "log.showSignature": "false",
    "safe.bareRepository": "explicit",
    "protocol.allow": "never",
    "protocol.ext.allow": "never",
    "credential.helper": "",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
GIT_ENV = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "GIT_EDITOR": "false",
    "GIT_SSH_COMMAND": "false",
    "GIT_CONFIG_COUNT": str(len(_CONFIG)),
} | {
    name: value
    for number, pair in enumerate(_CONFIG.items())
    for name, value in zip((f"GIT_CONFIG_KEY_{number}", f"GIT_CONFIG_VALUE_{number}"), pair, strict=True)
}
