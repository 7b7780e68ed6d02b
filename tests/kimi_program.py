"""The real `kimi` as a child process, with a home of its own and no variable of the machine that could change it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
        return {name: os.environ[name] for name in KEPT if name in os.environ} | own | self.env | extra

    def run(self, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kimi_agent", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.work,
            env=self.environment(**env),
            timeout=60,
        )

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
