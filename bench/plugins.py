"""What plugins cost: a headless turn with none and with fifty, side by side in one run, and what they add to every request.

Fifty plugins with a command tool each, and a hundred skills of theirs. Prints tables; asserts nothing.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

from fake_api import FakeAPI  # noqa: E402
from measure import alternate  # noqa: E402
from plugin_files import manifest, write_plugin  # noqa: E402

from kimi_agent.plugins.install import examine, install  # noqa: E402
from kimi_agent.plugins.source import fetch  # noqa: E402

PLUGINS, SKILLS = 50, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=15, help="counted runs of each command")
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        homes = {"no plugins": folder / "none", f"{PLUGINS} plugins, {SKILLS} skills": folder / "many"}
        for home in homes.values():
            home.mkdir()
        fill(folder / "many", folder / "sources")
        run(folder, homes, times)


def fill(home: Path, sources: Path) -> None:
    for number in range(PLUGINS):
        about = f"how the team does thing {number}: what to look at first, which commands to run, what to leave alone"
        skills = [f"skill-{number}-{k}" for k in range(SKILLS // PLUGINS)]
        files = {
            f"skills__{name}__SKILL.md": f"---\nname: {name}\ndescription: {about}\n---\nText.\n" for name in skills
        }
        source = write_plugin(sources / f"p{number}", manifest(f"p{number}", f"tool_{number}"), **files)
        install(home, examine(fetch(str(source), sources / f"scratch{number}")))


def run(folder: Path, homes: dict[str, Path], times: int) -> None:
    bodies: list[dict] = []

    def reply(body: dict) -> list[dict]:
        bodies.append(body)
        return [{"text": "hello"}]

    kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    env = kept | {"HOME": str(folder), "KIMI_API_KEY": "sk-bench", "TERM": "dumb"}
    with FakeAPI(reply) as api:
        turn = [sys.executable, "-m", "kimi_agent", "--base-url", api.url, "--provider", "kimi", "-m", "b", "-p", "hi"]
        commands = {name: ["env", f"KIMI_HOME={home}", *turn] for name, home in homes.items()}
        found = alternate(commands, env, folder, times)
    sizes = dict(zip(homes, bodies, strict=False))  # the warm-up runs, in order
    print(f"One headless turn, median of {times}, in turn\n")
    print(f"{'':24}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}{'tokens of the request (characters / 4)':>42}")
    for name, result in found.items():
        print(f"{name:24}{result.cpu:>8.3f}{result.wall:>8.3f}{result.memory:>9.0f}{tokens(sizes[name]):>42,}")
    (first, one), (second, other) = found.items()
    cpu, wall, memory = other.cpu - one.cpu, other.wall - one.wall, other.memory - one.memory
    added = tokens(sizes[second]) - tokens(sizes[first])
    print(f"{'difference':24}{cpu:>8.3f}{wall:>8.3f}{memory:>9.0f}{added:>42,}")


def tokens(body: dict) -> int:
    return (len(body["messages"][0]["content"]) + len(json.dumps(body["tools"]))) // 4


if __name__ == "__main__":
    main()
