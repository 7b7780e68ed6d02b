"""Python plugins that are broken: each is named, what works of it stays, and nothing of it is on standard output."""

from pathlib import Path

import pytest
from kimi_program import Program
from plugin_files import manifest, python_plugin, write_plugin

from kimi_agent.plugin import Plugin
from kimi_agent.plugins.shape import check_shape

TOOL = """
class Tool:
    name, description, Params = "fine", "does nothing", {}
    def __init__(self, **given): self.__dict__.update(given)
    def effects(self, params, ctx): return ()
    async def preview(self, params, ctx): return None
    async def run(self, params, ctx): print("NOISE"); raise SystemExit(9)
"""
HEAD = f"from kimi_agent.plugin import Plugin\n{TOOL}\n"
BROKEN = {
    "exits": ("lambda host: exit(4)", "its tools are left out: SystemExit: 4"),
    "none": ("lambda host: None", "its tools are left out: TypeError"),
    "number": ("5", "it is left out: TypeError: its tools is not a function"),
    "objects": ("lambda host: [object(), Tool()]", "its tool number 1 is left out: AttributeError"),
    "long": ("lambda host: [Tool(name='x' * 5000)]", "its tool number 1 is left out: 'xxxx"),
    "colored": ("lambda host: [Tool(name='a\\x1b[31m b')]", "is no name that models can call"),
    "mute": ("lambda host: [Tool(description=None)]", "its tool number 1 is left out: fine has no description"),
    "wrong": ("lambda host: [Tool(Params=int)]", "the Params of fine are no Struct and no JSON Schema"),
    "still": ("lambda host: [Tool(run=None)]", "fine has no run"),
    "session": ("lambda host: [Tool(name='Agent')]", "its tool Agent is left out: there is one of that name already"),
    "ours": (
        "lambda host: [Tool(name='ReadFile')]",
        "its tool ReadFile is left out: there is one of that name already",
    ),
}


def test_tools_that_cannot_be_offered_cost_nobody_anything(tmp_path: Path) -> None:
    """One program with all of them: what it says on standard output is the answer, and a good tool beside them runs."""
    kimi = Program(tmp_path)
    for name, (tools, _) in BROKEN.items():
        code = f"{HEAD}print('NOISE')\nplugin = Plugin(name={name!r}, tools={tools})"
        site = python_plugin(tmp_path / "site", name, code, f"broken_{name}")
    scenario = kimi.scenario(
        [{"call": {"name": "fine", "arguments": {}}}], [{"expect": "SystemExit"}, {"text": "Done"}]
    )
    done = kimi.run("-p", "hi", "--provider", scenario, PYTHONPATH=str(site))
    assert (done.returncode, done.stdout) == (0, "Done\n"), done.stderr
    assert done.stderr.count("NOISE") == len(BROKEN) + 1
    for name, (_, words) in BROKEN.items():
        (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"kimi: Plugin {name}: ")]
        assert words in line
        assert line.isprintable()
        assert len(line) < 600


def test_a_command_tool_whose_name_is_taken_is_told(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    source = write_plugin(tmp_path / "shady", manifest("shady", "ReadFile"))
    assert kimi.run("plugin", "install", str(source), "--yes").returncode == 0
    done = kimi.run("-p", "hi", "--provider", kimi.scenario([{"text": "Hello"}]))
    assert "Plugin shady: its tool ReadFile is left out: there is one of that name already." in done.stderr


@pytest.mark.parametrize(
    "fields",
    [
        {"hooks": ["x"]},
        {"hooks": 5},
        {"commands": ["x"]},
        {"readers": ["x"]},
        {"readers": {".x": 5}},
        {"providers": {5: print}},
        {"subcommands": {"x": "y"}},
        {"problems": "text"},
        {"problems": [5]},
        {"agents": ["/tmp"]},
        {"gates": [5]},
        {"version": 1},
    ],
    ids=repr,
)
def test_fields_that_hold_something_else(fields: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=f"its {next(iter(fields))} is not"):
        check_shape(Plugin(name="x", **fields))  # type: ignore[arg-type]
    check_shape(Plugin(name="x"))


def test_what_a_plugin_says_of_itself_is_told_without_control(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    code = f"{HEAD}plugin = Plugin(name='loud', problems=['a\\x1b]0;b\\x07c\\n\\u202ed'])"
    site = python_plugin(tmp_path / "site", "loud", code)
    done = kimi.run("-p", "hi", "--provider", kimi.scenario([{"text": "Hello"}]), PYTHONPATH=str(site))
    assert "kimi: Plugin loud: ac d\n" in done.stderr


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("async def gate(call, effects): raise RuntimeError('no rule')", "RuntimeError: no rule"),
        ("async def gate(call, effects): return 'yes'", "gave no verdict but 'yes'"),
        ("def gate(call, effects): return None", "TypeError"),
    ],
)
def test_a_gate_that_fails_refuses_the_call(tmp_path: Path, gate: str, words: str) -> None:
    kimi = Program(tmp_path)
    code = f"{HEAD}{gate}\nplugin = Plugin(name='guard', gates=[gate])"
    site = python_plugin(tmp_path / "site", "guard", code)
    call = {"call": {"name": "Shell", "arguments": {"command": "echo x > made"}}}
    scenario = kimi.scenario([call], [{"expect": "a gate of the plugin guard"}, {"expect": words}, {"text": "Refused"}])
    done = kimi.run("-p", "hi", "--yolo", "--provider", scenario, PYTHONPATH=str(site))
    assert done.stdout == "Refused\n", done.stderr
    assert not (kimi.work / "made").exists()
