"""What is not loaded costs nothing: a fresh interpreter shows what static import graphs cannot."""

import subprocess
import sys
from pathlib import Path

import pytest
from kimi_program import Program

HEAVY = {"torch", "numpy", "textual", "openai", "anthropic", "mcp", "acp", "pydantic", "inference_backend", "kimi_acp"}
SCREENS = {
    "rich", "prompt_toolkit", "tomlkit", "PIL", "trafilatura", "lxml", "pypdf", "jsonschema", "pygments", "yaml", "jinja2",
}  # fmt: skip


def loaded(kimi: Program, program: str, *arguments: str) -> set[str]:
    """Top-level modules in memory when `program` has run in a fresh interpreter."""
    report = kimi.folder / "modules"
    tail = f"\nimport sys\nopen({str(report)!r}, 'w').write('\\n'.join({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", program + tail, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=kimi.environment(),
        cwd=kimi.work,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(report.read_text().splitlines())


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.mark.parametrize("module", ["kimi_agent.cli", "kimi_agent.cli.app", "kimi_agent.cli.start", "kimi_agent.build"])
def test_the_command_line_loads_nothing_heavy(kimi: Program, module: str) -> None:
    assert loaded(kimi, f"import {module}") & (HEAVY | SCREENS | {"httpx"}) == set()


def test_to_look_for_the_embedded_model_loads_nothing_of_its_engine(kimi: Program) -> None:
    program = "from kimi_agent.embedded import embedded_folder; embedded_folder('auto')"
    assert loaded(kimi, program) & (HEAVY | SCREENS | {"httpx", "tiktoken", "llguidance"}) == set()


def test_version_loads_nothing(kimi: Program) -> None:
    names = loaded(kimi, "import sys; from kimi_agent.__main__ import main; sys.argv = ['kimi', '-V']; main()")
    assert names & (HEAVY | SCREENS | {"httpx", "typer", "msgspec", "asyncio", "json", "re", "dataclasses"}) == set()


def test_a_headless_turn_loads_no_screen(kimi: Program) -> None:
    scenario = kimi.scenario([{"text": "Hello"}])
    program = "import sys; from kimi_agent.cli import run; assert run(sys.argv[1:]) == 0"
    names = loaded(kimi, program, "-p", "hi", "--provider", scenario)
    assert names & (HEAVY | SCREENS) == set()
    assert "httpx" not in names


def test_values_of_the_agent_are_no_dataclasses(kimi: Program) -> None:
    """A dataclass takes ten times as long to make as a struct, and a hundred of them were a tenth of the start."""
    program = """
import sys, kimi_agent.build
from kimi_agent.tools import builtin_tools
builtin_tools()
rooms = ("kimi_agent.agent.", "kimi_agent.core.", "kimi_agent.tools.")
found = {value for name, module in sys.modules.items() if name.startswith(rooms) for value in vars(module).values()
         if isinstance(value, type) and "__dataclass_fields__" in vars(value)}
assert len(found) <= 3, found
"""
    loaded(kimi, program)
