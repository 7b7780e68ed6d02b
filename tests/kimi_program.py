"""The real `kimi` as a child process, with a home of its own and no variable of the machine that could change it."""

import json
import os
import pty
import select
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import warm_kimi

KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_START")


@dataclass
class Program:
    """`folder` holds its home (`folder/home`) and the folder that it works in (`folder/work`)."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def config(self) -> Path:
        return self.home / "config.toml"

    def environment(self, **extra: str) -> dict[str, str]:
        own = {"HOME": str(self.folder), "KIMI_HOME": str(self.home), "TERM": "xterm-256color"}
        own |= {"KIMI_EMBEDDED_MODEL": "off"}  # most tests want none, but to see what is said then
        return {name: os.environ[name] for name in KEPT if name in os.environ} | own | self.env | extra

    def run(self, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """To its end. A process of its own, that need not import everything again where that makes no difference."""
        environment = self.environment(**env)
        if warm_kimi.can_be_forked(arguments, environment):
            return warm_kimi.run(arguments, stdin, self.work, environment, 60)
        return subprocess.run(
            [*warm_kimi.KIMI, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.work,
            env=environment,
            timeout=60,
        )

    def start(self, *arguments: str) -> "subprocess.Popen[bytes] | warm_kimi.Process":
        """It runs by itself, and nobody hears what it says."""
        environment = self.environment()
        with Path(os.devnull).open("r+b") as nowhere:
            if warm_kimi.can_be_forked(arguments, environment):
                return warm_kimi.Process(arguments, [nowhere.fileno()] * 3, self.work, environment)
            streams = {"stdin": nowhere, "stdout": nowhere, "stderr": nowhere}
            return subprocess.Popen([*warm_kimi.KIMI, *arguments], cwd=self.work, env=environment, **streams)

    def write_config(self, text: str) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text)

    def use(self, url: str, kind: str = "kimi", key: str = "sk-test", model: str = "fake-model") -> None:
        """A config file with one model at `url`."""
        self.write_config(
            f'default_model = "m"\n[providers.p]\ntype = "{kind}"\nbase_url = "{url}"\napi_key = "{key}"\n'
            f'[models.m]\nprovider = "p"\nmodel = "{model}"\nmax_context_size = 100000\n'
        )

    def scenario(self, *steps: Any) -> str:
        """The value of `--provider` that plays these steps."""
        file = self.folder / "scenario.json"
        file.write_text(json.dumps(list(steps)))
        return f"scripted:{file}"


class Terminal:
    """`kimi` on a pseudo-terminal. `expect` waits for a text that comes after the ones waited for before."""

    def __init__(self, program: Program, *arguments: str, **env: str) -> None:
        main, child = pty.openpty()
        self.seen = ""
        self._from = 0
        self._fd = main
        argv = [*warm_kimi.KIMI, *arguments]
        self.process = warm_kimi.start_on(child, argv, program.environment(**env), program.work)
        os.close(child)

    def expect(self, text: str, timeout: float = 30.0) -> str:
        """What was printed up to and with `text`. Fails when the program ends, or is silent for `timeout` seconds."""
        while text not in self.seen[self._from :]:
            assert self._read(timeout), f"it ended without {text!r}: {self.seen!r}"
        start, self._from = self._from, self.seen.index(text, self._from) + len(text)
        return self.seen[start : self._from]

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait(self, timeout: float = 30.0) -> int:
        """The exit code; what is still printed joins `seen`."""
        while self._read(timeout):
            pass
        os.close(self._fd)
        return self.process.wait(timeout)

    def _read(self, timeout: float) -> bool:
        """Whether there was more to read. Kills the program when it is silent for `timeout` seconds."""
        if not select.select([self._fd], [], [], timeout)[0]:
            self.process.kill()
            raise AssertionError(f"silent for {timeout} s after {self.seen!r}")
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # how Linux tells that the other side has gone
            data = b""
        self.seen += data.decode("utf-8", "replace")
        return bool(data)
