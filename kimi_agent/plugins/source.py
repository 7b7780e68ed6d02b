"""Where a plugin is installed from: a folder, a zip (a file or an https address), a git repository. The result is a folder."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from kimi_agent.core.environment import persons_environment
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.plugins.archive import unpack
from kimi_agent.plugins.bundle import inside
from kimi_agent.plugins.content import MAX_BYTES, MAX_FILES, copy_folder
from kimi_agent.plugins.manifest import manifest_file

TIMEOUT_S = 120.0
REPOSITORY = 10
"""How many times a plugin's limits a repository may be large."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_GIT = re.compile(r"(?:git@|ssh://|https?://|file://|git\+)")
_TREE = re.compile(
    r"(?P<url>https://[^/]+/[^/]+/[^/#@]+?)(?:/-)?/(?:tree|commit|releases/tag)/(?P<ref>[^/]+)(?:/(?P<below>.+))?"
)
_AFTER_GIT = re.compile(r"(?P<url>.*?\.git)(?:/tree/(?P<branch>[^/]+))?(?:/(?P<below>[^@]+))?(?:@(?P<ref>.+))?")
_PLAIN = re.compile(r"(?P<url>.*/[^/@]*)(?:@(?P<ref>.+))?")
_WHO = re.compile(r"((?:https?|file)://)[^/?#\s]*@")
_REF = re.compile(r"[A-Za-z0-9_][\w./+-]*")
_SAFE = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never"),
    *("-c", "submodule.recurse=false", "-c", "transfer.fsckObjects=true", "-c", "credential.interactive=false"),
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A copy of a plugin's folder, not installed yet. `commit` is empty where there is no git."""

    folder: Path
    source: str
    commit: str = ""


def fetch(source: str, into: Path) -> Fetched:
    """Get the plugin that `source` names into a folder below `into`. Raises ConfigError.

    Nothing of the plugin runs: no hooks, no filters, no submodules, no build.
    """
    path = os.path.expanduser(source)  # noqa: PTH111 - no error for ~nobody
    if os.path.isdir(path):  # noqa: PTH112 - no error for what is too long for a path
        copy_folder(_root(Path(path), ""), into / "copy")
        return Fetched(into / "copy", os.path.realpath(path))
    if os.path.isfile(path):  # noqa: PTH113
        unpack(Path(path), into / "unpacked")
        return Fetched(_root(into / "unpacked", ""), os.path.realpath(path))
    if not _GIT.match(source):
        raise ConfigError(f"there is no folder and no file {_shown(source)}", "Or name a .zip or git address.")
    address = _split(source)
    if address.scheme in ("http", "https") and address.path.lower().endswith(".zip"):
        _download(source, into / "download.zip")
        unpack(into / "download.zip", into / "unpacked")
        return Fetched(_root(into / "unpacked", ""), without_password(source))
    url, ref, below = split_git(source)
    commit = _clone(url, ref, into / "clone")
    return Fetched(_root(into / "clone", below), without_password(source), commit)


def without_password(source: str) -> str:
    """An address as it may be shown and recorded: who it is asked for, and by which token, is left out."""
    return _WHO.sub(r"\1", source)


def _split(address: str) -> SplitResult:
    try:
        split = urlsplit(address)
        _ = split.port  # looked at last, by whoever connects
    except ValueError as error:
        raise ConfigError(f"{_shown(address)} is no address: {error}") from None
    return split


def _shown(text: str) -> str:
    return visible(plain(without_password(text)))[:300]


def split_git(source: str) -> tuple[str, str, str]:
    """Address, branch, tag or commit (empty: the default branch), and the folder in the repository (empty: its root).

    Understood are `ADDRESS.git[@REF][#FOLDER]`, kimi-cli's `ADDRESS.git/FOLDER`, and what a browser shows
    (`.../tree/REF/FOLDER`, `.../commit/ID`, `.../releases/tag/TAG`). Raises ConfigError.
    """
    source, _, below = source.removeprefix("git+").partition("#")
    match = _TREE.fullmatch(source) or _AFTER_GIT.fullmatch(source) or _PLAIN.fullmatch(source)
    if match is None:
        raise ConfigError(f"{_shown(source)} is no address of a repository")
    parts = match.groupdict()
    ref = parts.get("ref") or parts.get("branch") or ""
    if ref and not _REF.fullmatch(ref):
        raise ConfigError(f"{visible(plain(ref))!r} is no branch, tag or commit")
    if parts["url"].lower().startswith("http://") and _split(parts["url"]).hostname not in _LOOPBACK:
        raise ConfigError("plugins are not taken over http, where anybody may change them", "Use https.")
    return parts["url"], ref, below or parts.get("below") or ""


def _root(folder: Path, below: str) -> Path:
    """The plugin's folder in what was fetched: `below`, else the root, else the only folder with a manifest."""
    if below:
        found = inside(folder, below)
        if found is None or not found.is_dir() or manifest_file(found) is None:
            raise ConfigError(f"there is no plugin in {visible(plain(below))!r}")
        return found
    if manifest_file(folder) is not None:
        return folder
    children = sorted(child for child in folder.iterdir() if child.is_dir() and manifest_file(child) is not None)
    if len(children) == 1:
        return children[0]
    if not children:
        raise ConfigError("there is no plugin.json in it", "A plugin is a folder with a plugin.json.")
    names = ", ".join(visible(plain(child.name)) for child in children[:20])
    raise ConfigError(f"it holds several plugins: {names}", "Name one: ADDRESS#FOLDER, or its folder.")


def _download(url: str, target: Path) -> None:
    import httpx

    size = 0
    try:
        _check_https(httpx.URL(url).scheme, httpx.URL(url).host)
        with (
            httpx.stream("GET", url, follow_redirects=True, timeout=TIMEOUT_S) as response,
            target.open("wb") as file,
        ):
            for hop in (*response.history, response):
                _check_https(hop.url.scheme, hop.url.host)
            response.raise_for_status()
            for piece in response.iter_bytes():
                size += len(piece)
                if size > MAX_BYTES:
                    raise ConfigError(f"the archive is refused: it is larger than {MAX_BYTES >> 20} MB")
                file.write(piece)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigError(f"{_shown(url)} cannot be downloaded: {_shown(str(error)) or type(error).__name__}") from None


def _check_https(scheme: str, host: str) -> None:
    if scheme != "https" and host not in _LOOPBACK:
        raise ConfigError("plugins are not taken over http, where anybody may change them", "Use https.")


def _clone(url: str, ref: str, folder: Path) -> str:
    """Fetch one commit into `folder`, without its history; answers its id."""
    if shutil.which("git") is None:
        raise ConfigError("git is not installed", "Install it, or download the plugin and name its folder.")
    _git(None, "init", "--quiet", "--template=", str(folder))
    what = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", url, ref or "HEAD")
    loopback = url.startswith("http://")  # or `split_git` had refused it; https leads to no plain http
    _git(folder, "fetch", *what, protocols="http:https" if loopback else "https:ssh:file")
    commit = _git(folder, "rev-parse", "FETCH_HEAD^{commit}", own_settings=False)
    _check_size(folder, commit)
    _git(folder, "checkout", "--quiet", "--detach", commit, own_settings=False)
    shutil.rmtree(folder / ".git")
    return commit


def _check_size(folder: Path, commit: str) -> None:
    """Raises ConfigError for a commit that is too large, before any of it is written: a few trees may stand for billions.

    A repository may hold much beside the plugin, which is counted by itself later.
    """
    listed = ["git", *_SAFE, "ls-tree", "-r", "-t", "-l", "-z", commit]
    count = size = 0
    rest = b""
    with subprocess.Popen(
        listed,
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        while data := process.stdout.read(1 << 16) if process.stdout else b"":
            *entries, rest = (rest + data).split(b"\0")
            count += len(entries)
            size += sum(int(fields[3]) for entry in entries if (fields := entry.split(maxsplit=4))[1] == b"blob")
            if count > REPOSITORY * MAX_FILES or size > REPOSITORY * MAX_BYTES:
                process.kill()
                raise ConfigError(
                    "the repository is refused: it is too large", "Download the plugin, and name its folder."
                )


def _git(folder: Path | None, *arguments: str, own_settings: bool = True, protocols: str = "") -> str:
    """Run git where nothing of a repository or of the system's settings can run a program.

    The person's own settings are used for the network only (a proxy, who they are there), never where files are written.
    `protocols` are what git may speak; a redirect to another one is refused.
    """
    try:
        done = subprocess.run(
            ["git", *_SAFE, *arguments],
            cwd=folder,
            env=_environment(own_settings=own_settings, protocols=protocols),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"git {arguments[0]} took over {TIMEOUT_S:g} s and was stopped") from None
    if done.returncode:
        said = without_password(plain(done.stderr.decode("utf-8", "replace")).strip()[-500:])
        raise ConfigError(f"git {arguments[0]} failed: {said}")
    return done.stdout.decode("utf-8", "replace").strip()


def _environment(*, own_settings: bool = False, protocols: str = "") -> dict[str, str]:
    env = {
        **persons_environment(),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_LFS_SKIP_SMUDGE": "1",
        "LC_ALL": "C",
    }
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CONFIG_PARAMETERS", "GIT_TEMPLATE_DIR"):
        env.pop(name, None)
    env.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
    if not own_settings:
        env["GIT_CONFIG_GLOBAL"] = os.devnull
    return env
