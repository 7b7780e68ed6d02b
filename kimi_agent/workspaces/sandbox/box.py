"""The box of one run of the program: which rung this machine offers, and every boxed process.

What blocks is done in threads: `Box.prove` and `Box.start` may be called from any of them. What does the work is loaded with the
first of them, not with the program.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from kimi_agent.core.access import Access, BoxError, BoxState, Rung
from kimi_agent.workspaces.sandbox.proof import RUNGS, NothingHolds, proof

if TYPE_CHECKING:
    from kimi_agent.workspaces.sandbox.client import Zygote
    from kimi_agent.workspaces.sandbox.policy import Folders, Places
    from kimi_agent.workspaces.sandbox.profile import Profile
    from kimi_agent.workspaces.sandbox.proxy import Grant, Proxy

CACHES = {"GOCACHE": "go-build", "npm_config_cache": "npm", "UV_CACHE_DIR": "uv", "YARN_CACHE_FOLDER": "yarn"}
ALONE = {"npm_config_fetch_retries": "0", "PIP_RETRIES": "1", "UV_HTTP_RETRIES": "0", "CARGO_NET_RETRY": "0"}
"""Where no host can be reached: npm else tries for 70 seconds, and nobody learns why. pip tells why when it tries again."""
"""Variables for the caches of programs that fail where they cannot write one; folders among the box's temporary files."""


class Placed(Struct):
    """Where one command will run: which zygote starts it, what it may do, where its temporary files are (if it has any)."""

    zygote: "Zygote"
    profile: "Profile"
    temporary: Path | None = None


class Box:
    """The box of this run. `hosts` are names that every command may reach through the proxy, as `proxy.host_name` has them.

    `rungs` are those to try, best first. `off` is why there is to be no box at all, empty when there is to be one.
    """

    def __init__(
        self, places: "Places", *, hosts: Sequence[str] = (), rungs: Sequence[Rung] = RUNGS, off: str = ""
    ) -> None:
        self.places = places
        self.hosts = tuple(hosts)
        self.opened = tuple(os.path.realpath(os.path.expanduser(path)) for path in places.writable)
        self._rungs, self._off = tuple(rungs), off
        self._lock = threading.RLock()
        self._state: BoxState | None = None
        self._folder: Path | None = None
        self._zygotes: dict[str, Zygote] = {}  # by the view that each has; "" can have every view
        self._proxies: dict[Zygote, list[Proxy]] = {}
        self._closed = False

    @property
    def state(self) -> BoxState | None:
        """What is proved; None while nothing is."""
        return self._state

    @property
    def possible(self) -> bool:
        """Whether there may be a box here, as far as one can see without trying."""
        return not self._off and sys.platform == "linux"

    def opens(self, root: Path) -> bool:
        """Whether commands may write in this working folder, as far as one can see before the box is proved."""
        from kimi_agent.workspaces.sandbox.policy import holds_more

        user_home, home = os.path.realpath(self.places.user_home), os.path.realpath(self.places.home)
        without = not self.possible or (self._state is not None and self._state.rung == "R0")
        return without or not holds_more(os.path.realpath(root), user_home, home)

    def warm(self, proved: Callable[[], None] = lambda: None) -> None:
        """Prove the box in a thread, so that the first command does not wait for it; `proved` is called there, at the end."""
        threading.Thread(target=self._prove_quietly, args=(proved,), name="box", daemon=True).start()

    def _prove_quietly(self, proved: Callable[[], None]) -> None:
        from kimi_agent.workspaces.sandbox.profile import Profile

        with contextlib.suppress(BoxError), self._lock:
            rung = self.prove().rung
            if rung in ("R3", "R1") and not self._closed:
                self._own_folder()
                self._zygote(rung, Profile())
        with contextlib.suppress(RuntimeError):  # who wanted to know has ended
            proved()

    def prove(self) -> BoxState:
        """The best rung that holds on this machine, tried once. Raises BoxError when the box is closed."""
        if self._state is None:
            with self._lock:
                if self._closed:
                    raise BoxError("the box is closed")
                self._state = self._state or self._best()
        return self._state

    def place(self, folders: "Folders", access: Access, *, read_only: bool = False) -> Placed:
        """Make ready for one command; see `Placed`. `read_only`: it writes nothing but temporary files, and what `access` names.

        Raises BoxError, also where there is no box (R0).
        """
        from kimi_agent.workspaces.sandbox.policy import make_profile

        rung = self.prove().rung
        if rung == "R0":
            raise BoxError("there is no box on this machine")
        if access.hosts and rung == "R1":
            raise BoxError("named hosts need a network of the box's own, which R1 has not")
        with self._lock:
            if self._closed:
                raise BoxError("the box is closed")
            folder = self._own_folder()
            profile = make_profile(self.places, folders, str(folder), access, read_only=read_only)
            return Placed(self._zygote(rung, profile), profile, folder / "tmp")

    def place_alone(self, profile: "Profile") -> Placed:
        """Make ready for a program of ours, which has no temporary files. Raises BoxError, also where there is no box (R0)."""
        rung = self.prove().rung
        if rung == "R0":
            raise BoxError("there is no box on this machine")
        with self._lock:
            if self._closed:
                raise BoxError("the box is closed")
            self._own_folder()
            return Placed(self._zygote(rung, profile), profile)

    async def way_out(self, placed: Placed, access: Access) -> "Grant":
        """How a command reaches the hosts that the configuration and `access` name. Raises BoxError."""
        from kimi_agent.workspaces.sandbox.proxy import Grant, Proxy

        if access.net:
            return Grant()
        hosts = (*self.hosts, *access.hosts)
        if not hosts or self.prove().rung == "R1":
            return Grant(variables=dict(ALONE))
        loop, known = asyncio.get_running_loop(), self._proxies.setdefault(placed.zygote, [])
        proxy = next((each for each in known if each.loop is loop), None)  # that of a loop that has ended serves nobody
        if proxy is None:
            proxy = Proxy()
            await proxy.start(await asyncio.to_thread(placed.zygote.listen))
            known.append(proxy)
        return proxy.grant(hosts)

    def close_way(self, placed: Placed, way: "Grant") -> None:
        """The command that had this way out has ended."""
        for proxy in self._proxies.get(placed.zygote, ()):
            proxy.revoke(way)

    def start(
        self,
        placed: Placed,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        stdin: int,
        output: int,
        errors: int | None = None,
        kept: Sequence[int] = (),
    ) -> tuple[int, int]:
        """Run `argv` where it was placed; takes, answers and raises what `Zygote.start` does."""
        own = dict(env)
        if placed.temporary is not None:
            own = {name: f"{placed.temporary}/{cache}" for name, cache in CACHES.items()} | own
            own["TMPDIR"] = str(placed.temporary)
        try:
            return placed.zygote.start(argv, own, cwd, placed.profile, stdin, output, errors, kept)
        except BoxError:
            with self._lock:
                self._forget(placed.zygote)
            raise

    def output(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> Generator[bytes, None, None]:
        """See `core.access.BoxView`; where there is no box (R0) it runs without one."""
        from kimi_agent.workspaces.piped import output_of
        from kimi_agent.workspaces.sandbox.profile import Profile

        return output_of(argv, env, cwd, self, Profile(sockets=False))

    def temporary(self) -> Path | None:
        """Where boxed processes have their temporary files, None where there is no box. Raises BoxError."""
        if self.prove().rung == "R0":
            return None
        with self._lock:
            return self._own_folder() / "tmp"

    async def aclose(self) -> None:
        """As `close`, from the event loop whose proxies there are."""
        for proxy in (proxy for proxies in self._proxies.values() for proxy in proxies):
            await proxy.aclose()
        self._proxies.clear()
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End everything that was started, and remove the temporary files."""
        with self._lock:
            self._closed = True
            for zygote in self._zygotes.values():
                zygote.close()
            self._zygotes.clear()
            if self._folder is not None:
                import shutil

                shutil.rmtree(self._folder, ignore_errors=True)

    # ------------------------------------------------------------------------------------------------------------------

    def _best(self) -> BoxState:
        if self._off:
            return BoxState("R0", (("R3", self._off),))
        try:
            return proof(self._rungs)
        except NothingHolds as nothing:
            return BoxState("R0", nothing.reasons)

    def _own_folder(self) -> Path:
        """Where the temporary files of commands are; made anew when it has gone."""
        import tempfile

        from kimi_agent.workspaces.sandbox.client import lay_out

        if self._folder is None:
            self._folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="kimi-box-")))
        lay_out(self._folder)
        return self._folder

    def _zygote(self, rung: Rung, profile: "Profile") -> "Zygote":
        """The one that can have this view: of R2 each has one alone, and what shares the machine's network has its own.

        The first one removes our folder, however this ends.
        """
        from kimi_agent.workspaces.sandbox.client import Zygote

        view = f"{profile.encoded()} {_identities(profile)}" if rung == "R2" else "net" * profile.net
        if view not in self._zygotes:
            assert self._folder is not None
            self._zygotes[view] = Zygote(rung, self._folder, profile, removes=not self._zygotes)
        return self._zygotes[view]

    def _forget(self, zygote: "Zygote") -> None:
        """One that has failed is not asked again: the next command gets a new one, of the same rung."""
        for view, known in list(self._zygotes.items()):
            if known is zygote:
                del self._zygotes[view]
                zygote.close()


def _identities(profile: "Profile") -> list[tuple[int, int]]:
    """What is at the writable paths now: a view that was made of a folder does not show the one that took its place."""
    found = [os.stat(path) for path in profile.writable if os.path.exists(path)]
    return [(stat.st_dev, stat.st_ino) for stat in found]
