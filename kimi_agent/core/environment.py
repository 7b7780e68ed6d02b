"""The environments that processes get: the agent's by an allow-list, the person's own without kimi's keys.

What makes a program run something else than it was called for (LD_*, BASH_ENV, NODE_OPTIONS, PAGER, settings of git) and what
leads to other programs of the person (SSH_AUTH_SOCK, DBUS_*, XDG_RUNTIME_DIR) is on no list.
"""

import os
import re
from collections.abc import Iterable, Mapping

from kimi_agent.core.redact import SHORTEST, is_secret_name, secret_variables

PASSED = "KIMI_PASS_ENV"
"""Names, with commas, of variables that commands get although they are on no list; `PREFIX_*` stands for all that begin so."""

_LISTED = """
    PATH HOME USER LOGNAME SHELL PWD TMPDIR TMP TEMP TZ HOSTNAME LANG LANGUAGE LOCALE_ARCHIVE
    TERM COLORTERM TERMINFO TERMINFO_DIRS COLUMNS LINES LS_COLORS NO_COLOR FORCE_COLOR CLICOLOR CLICOLOR_FORCE
    CI MANPATH INFOPATH XDG_CONFIG_HOME XDG_DATA_HOME XDG_CACHE_HOME XDG_STATE_HOME XDG_CONFIG_DIRS XDG_DATA_DIRS
    SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    EMAIL GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_COMMITTER_DATE
    VIRTUAL_ENV PYENV_ROOT PYENV_VERSION POETRY_HOME PYTHONDONTWRITEBYTECODE PYTHONHASHSEED PYTHONIOENCODING PYTHONUNBUFFERED
    PYTHONUTF8 NVM_DIR NVM_BIN VOLTA_HOME FNM_DIR PNPM_HOME BUN_INSTALL DENO_DIR DENO_INSTALL
    RUSTUP_HOME RUSTUP_TOOLCHAIN CARGO_HOME CARGO_TARGET_DIR GOPATH GOROOT GOBIN GOPROXY GOPRIVATE GOTOOLCHAIN
    JAVA_HOME JDK_HOME MAVEN_HOME M2_HOME GRADLE_HOME GRADLE_USER_HOME SDKMAN_DIR ANDROID_HOME ANDROID_SDK_ROOT
    GEM_HOME GEM_PATH RBENV_ROOT DOTNET_ROOT CUDA_HOME CUDA_PATH CUDA_VISIBLE_DEVICES HF_HOME
    TOKENIZERS_PARALLELISM OMP_NUM_THREADS
    CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS PKG_CONFIG_PATH CMAKE_PREFIX_PATH SDKROOT DEVELOPER_DIR MACOSX_DEPLOYMENT_TARGET
"""
_NAMES = frozenset(_LISTED.split())
_PREFIXES = ("LC_", "CONDA_", "MAMBA_", "NODE_", "UV_", "PIP_", "NIX_", "HOMEBREW_")
_PATHS = ("/", "~")
_NEVER = frozenset({"NODE_OPTIONS", "NODE_REPL_EXTERNAL_MODULE", "PIP_CONFIG_FILE", "UV_CONFIG_FILE"})
_PROXY = re.compile(r"(?:\w+_)?proxy", re.IGNORECASE)
_SECRET = re.compile(
    r"://[^/\s@]+@|-----BEGIN|\beyJ[\w-]{10,}\.[\w-]{10,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}"
    r"|\b(?:sk|rk|pk)[-_][\w-]{16,}|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abeprs]-[\w-]{10,}"
    r"|\bnpm_\w{30,}|\bhf_\w{20,}|\bpypi-Ag\w{16,}"
)
_WHO = re.compile(r"^(\w+://)?[^/\s]*@")
_NAMED = re.compile(r"[A-Za-z_]\w*\*?", re.ASCII)


def is_pattern(text: str) -> bool:
    """Whether `text` names variables: `NAME`, or `PREFIX_*`."""
    return _NAMED.fullmatch(text) is not None


def child_environment(
    extra: Mapping[str, str], passed: Iterable[str] = (), env: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What a process of the agent gets: of `env` what is on the list and no secret, and what the person passes by name; `extra`.

    `passed` is by `KIMI_PASS_ENV`, too. A proxy is passed on without its user and password.
    """
    named = [*passed, *env.get(PASSED, "").replace(",", " ").split()]
    exact = frozenset(name for name in named if not name.endswith("*"))
    begins = tuple(name[:-1] for name in named if name.endswith("*") and len(name) > 1)
    secrets = frozenset(value for value in secret_variables(env).values() if len(value) >= SHORTEST)
    kept: dict[str, str] = {}
    for name, value in env.items():
        if name in exact or name.startswith(begins):
            kept[name] = value
        elif _is_listed(name):
            value = _WHO.sub(r"\1", value) if _PROXY.fullmatch(name) else value
            if value.startswith(_PATHS) or not (holds_secret(value) or value in secrets):
                kept[name] = value
    return kept | dict(extra)


def holds_secret(value: str) -> bool:
    """Whether a text has the form of a key or token, or holds a user's name and password, as far as forms tell."""
    return _SECRET.search(value) is not None


def _is_listed(name: str) -> bool:
    if name in _NEVER or is_secret_name(name):
        return False
    return name in _NAMES or name.startswith(_PREFIXES) or _PROXY.fullmatch(name) is not None


def persons_environment(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the person's own programs get (their shell, their editor): everything but the keys that kimi itself was given."""
    return {name: value for name, value in env.items() if not (name.startswith("KIMI_") and is_secret_name(name))}
