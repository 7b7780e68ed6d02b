"""Which files usually hold keys or passwords, as far as names tell."""

import fnmatch
import functools
import re
from itertools import pairwise
from pathlib import PurePath

NAMES = (
    ".env", ".env.*", ".env~", ".envrc", "*.pem", "*.key", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", ".npmrc",
    ".pypirc", ".pgpass", "*.ppk", "*.jks", "*.keystore",
    ".git-credentials", "credentials", "credentials.*", ".credentials.*", "*.p12", "*.pfx", "*.kdbx", "secrets.*",
    ".claude.json*", ".mcp.json", "mcp.json", "mcp.json.*",
)  # fmt: skip
HARMLESS = (
    ".env.example", ".env.sample", ".env.template", "*.pub", "*.py", "*.ts", "*.js", "*.go", "*.rs", "*.java", "*.md",
)  # fmt: skip
FOLDERS = frozenset({".ssh", ".gnupg", ".aws", ".azure", ".kube", ".password-store", "mcp-oauth"})
PROGRAMS = {
    ".kimi": ("config.toml*", "config.json*", "credentials*"),
    ".kimi-code": ("config.toml*", "credentials*"),
    ".codex": ("config.toml*", "auth.json*"),
    ".docker": ("config.json",),
    "gh": ("hosts.yml",),
}
"""Files in the folder of a program that keeps keys there."""


def is_secret_path(path: str) -> bool:
    parts = PurePath(path).parts
    name = parts[-1].lower() if parts else ""
    if FOLDERS.intersection(parts):
        return not name.endswith(".pub")
    if any(
        fnmatch.fnmatchcase(inner.lower(), pattern)
        for folder, inner in pairwise(parts)
        for pattern in PROGRAMS.get(folder, ())
    ):
        return True
    return bool(_any_of(NAMES).match(name)) and not _any_of(HARMLESS).match(name)


@functools.cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all: it is asked about every file of a tree."""
    return re.compile("|".join(map(fnmatch.translate, patterns)))
