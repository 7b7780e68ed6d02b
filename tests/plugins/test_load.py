"""Which plugins are loaded, which are left out, and that no plugin can do harm by being broken."""

import json
import shutil
from pathlib import Path

import pytest
from kimi_program import Program
from plugin_files import manifest, python_plugin, write_plugin

from kimi_agent.plugin import Plugin
from kimi_agent.plugins.find import Found, find
from kimi_agent.plugins.install import examine, install, set_enabled
from kimi_agent.plugins.load import load_plugins
from kimi_agent.plugins.many_tools import BUDGET, CallPluginTool
from kimi_agent.plugins.source import fetch


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def put(home: Path, source: Path, scratch: Path) -> Path:
    return install(home, examine(fetch(str(source), scratch)))


def loaded(home: Path, name: str, **options: object) -> Plugin | None:
    return next((plugin for plugin in load_plugins(home, {name: options}) if plugin.name == name), None)


def state(home: Path, name: str) -> Found:
    return next(found for found in find(home, {}) if found.name == name)


def test_an_installed_plugin_is_loaded(home: Path, tmp_path: Path) -> None:
    put(home, write_plugin(tmp_path / "hello"), tmp_path / "scratch")
    plugin = loaded(home, "hello")
    assert plugin is not None
    assert plugin.tools is not None
    assert (plugin.version, plugin.description, list(plugin.problems)) == ("1.0.0", "Greets people", [])
    assert [p.name for p in load_plugins(home, {})] == sorted(p.name for p in load_plugins(home, {}))
    set_enabled(home, "hello", False)
    assert loaded(home, "hello") is None
    set_enabled(home, "hello", True)
    assert loaded(home, "hello", enabled=False) is None


def test_a_folder_that_nobody_trusted_is_named_and_left_out(home: Path) -> None:
    write_plugin(home / "plugins" / "hello")
    plugin = loaded(home, "hello")
    assert plugin is not None
    assert plugin.tools is None
    assert "kimi plugin enable hello" in plugin.problems[0]
    assert loaded(home, "hello", enabled=True).tools is None  # type: ignore[union-attr]


@pytest.mark.parametrize("change", ["edit", "add", "remove", "executable", "same size", "link"])
def test_a_change_of_the_content_ends_the_trust(home: Path, tmp_path: Path, change: str) -> None:
    folder = put(home, write_plugin(tmp_path / "hello", other="12345"), tmp_path / "scratch")
    match change:
        case "edit":
            (folder / "scripts" / "greet.py").write_text("print(1)")
        case "add":
            (folder / "scripts" / "json.py").write_text("print(1)")
        case "remove":
            (folder / "other").unlink()
        case "executable":
            (folder / "other").chmod(0o755)
        case "same size":
            (folder / "other").write_text("54321")
        case "link":
            (folder / "other").unlink()
            (folder / "other").symlink_to("plugin.json")
    plugin = loaded(home, "hello")
    assert plugin is not None
    assert plugin.tools is None
    assert "changed since it was trusted" in plugin.problems[0]


def test_a_copy_of_the_home_is_still_trusted(home: Path, tmp_path: Path) -> None:
    """Times change with a copy; the content is then looked at once, and the new times are noted."""
    put(home, write_plugin(tmp_path / "hello"), tmp_path / "scratch")
    other = tmp_path / "other"
    shutil.copytree(home, other)
    before = state(other, "hello").record.stamp
    assert state(other, "hello").state == "on"
    assert state(other, "hello").record.stamp != before
    assert state(other, "hello").record.hash == state(home, "hello").record.hash


def test_a_damaged_state_trusts_nothing(home: Path, tmp_path: Path) -> None:
    put(home, write_plugin(tmp_path / "hello"), tmp_path / "scratch")
    (home / "plugins" / "installed.json").write_text('{"plugins": {"hello"')
    plugins = {plugin.name: plugin for plugin in load_plugins(home, {})}
    assert plugins["hello"].tools is None
    assert "is damaged" in plugins["installed.json"].problems[0]


BROKEN = {
    "crash": ("raise RuntimeError('boom')", "RuntimeError: boom"),
    "exit": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "missing": ("import not_there_at_all", "ModuleNotFoundError"),
    "nothing": ("x = 1", "AttributeError"),
    "type": ("plugin = {'name': 'type'}", "is no Plugin but a dict"),
    "function": ("def plugin(): raise ValueError('bad')", "ValueError: bad"),
    "name": ("from kimi_agent.plugin import Plugin\nplugin = Plugin(name='kimi')", "it calls itself 'kimi'"),
    "syntax": ("def (", "SyntaxError"),
}


def test_a_python_plugin_that_is_broken_is_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (code, _) in BROKEN.items():
        python_plugin(tmp_path / "site", name, code, f"broken_{name}")
    good = "from kimi_agent.plugin import Plugin\ndef plugin(): return Plugin(name='good', version='7')"
    python_plugin(tmp_path / "site", "good", good, "good_one")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    plugins = {plugin.name: plugin for plugin in load_plugins(tmp_path / "home", {})}
    for name, (_, words) in BROKEN.items():
        assert plugins[name].problems[0].startswith("it is left out: ")
        assert words in plugins[name].problems[0]
    assert plugins["good"].version == "7"
    assert not plugins["good"].problems


def test_a_python_plugin_that_is_off_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tmp_path / "ran"
    code = f"open({str(trace)!r}, 'w').close()\nfrom kimi_agent.plugin import Plugin\nplugin = Plugin(name='traced')"
    monkeypatch.syspath_prepend(str(python_plugin(tmp_path / "site", "traced", code)))
    assert loaded(tmp_path / "home", "traced", enabled=False) is None
    set_enabled(tmp_path / "home", "traced", False)
    assert loaded(tmp_path / "home", "traced") is None
    assert not trace.exists()
    set_enabled(tmp_path / "home", "traced", True)
    assert loaded(tmp_path / "home", "traced") is not None
    assert trace.exists()


def test_what_lies_in_the_working_folder_is_no_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = python_plugin(tmp_path / "project", "sneaky", "raise SystemExit")
    monkeypatch.chdir(site)
    monkeypatch.syspath_prepend(str(site))
    assert "sneaky" not in [found.name for found in find(tmp_path / "home", {})]


def test_of_two_with_one_name_the_bundled_one_holds(home: Path) -> None:
    write_plugin(home / "plugins" / "documents", manifest("documents"))
    first, second = [found for found in find(home, {}) if found.name == "documents"]
    assert (first.origin, first.state) == ("bundled", "on")
    assert (second.origin, second.state, second.problem) == ("installed", "broken", second.problem)
    assert "another plugin of that name" in second.problem


def test_bundled_plugins_may_wait_to_be_enabled(home: Path) -> None:
    assert state(home, "notebook").state == "off"
    assert next(f for f in find(home, {"notebook": {"enabled": True}}) if f.name == "notebook").state == "on"
    set_enabled(home, "notebook", True)
    assert state(home, "notebook").state == "on"


def test_many_command_tools_become_one(home: Path, tmp_path: Path) -> None:
    """Their names are listed; what one does and takes is told when it is called for."""
    for number in range(40):
        source = write_plugin(tmp_path / f"p{number}", manifest(f"p{number}", f"tool_{number}"))
        put(home, source, tmp_path / f"scratch{number}")
    plugins = load_plugins(home, {})
    assert not [p for p in plugins if p.name.startswith("p") and p.name[1:].isdigit() and p.tools]
    (one,) = [p for p in plugins if p.name == "plugin-tools"]
    assert one.tools is not None
    (tool,) = one.tools(None)  # type: ignore[arg-type]
    assert isinstance(tool, CallPluginTool)
    assert all(f"tool_{number}" in tool.description for number in range(40))
    assert len(tool.description) < BUDGET / 4


def test_the_program_goes_on_with_what_works(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    site = python_plugin(tmp_path / "site", "crash", "raise RuntimeError('boom')")
    write_plugin(kimi.home / "plugins" / "hello")
    (kimi.home / "plugins" / "bad").mkdir()
    (kimi.home / "plugins" / "bad" / "plugin.json").write_text("{")
    done = kimi.run("-p", "hi", "--provider", kimi.scenario([{"text": "Hello"}]), PYTHONPATH=str(site))
    assert (done.returncode, done.stdout) == (0, "Hello\n")
    assert "Plugin crash: it is left out: RuntimeError: boom" in done.stderr
    assert "Plugin hello: it is left out: nobody has trusted it yet" in done.stderr
    assert "Plugin bad: it is left out" in done.stderr
    rows = {row["name"]: row for row in json.loads(kimi.run("plugin", "list", "--json", PYTHONPATH=str(site)).stdout)}
    assert (rows["crash"]["state"], rows["hello"]["state"], rows["bad"]["state"]) == ("broken", "new", "new")
    enabled = kimi.run("plugin", "enable", "bad", "--yes")
    assert enabled.returncode == 2
    assert "its plugin.json is no JSON: line 1" in enabled.stderr


def test_a_plugin_cannot_replace_a_tool_of_ours(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    source = write_plugin(tmp_path / "shady", manifest("shady", "ReadFile"))
    assert kimi.run("plugin", "install", str(source), "--yes").returncode == 0
    (kimi.work / "a.txt").write_text("the real content\n")
    call = [{"call": {"name": "ReadFile", "arguments": {"path": "a.txt"}}}]
    scenario = kimi.scenario(call, [{"expect": "the real content"}, {"text": "Read."}])
    done = kimi.run("-p", "read", "--provider", scenario)
    assert (done.returncode, done.stdout) == (0, "Read.\n"), done.stderr


def test_a_python_plugin_adds_a_subcommand(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    code = """
        from kimi_agent.plugin import Plugin
        def shout(arguments):
            print(*arguments, sep="|")
            return 5 // len(arguments) * 6
        plugin = Plugin(name="loud", subcommands={"shout": shout, "doctor": shout})
    """
    site = str(python_plugin(tmp_path / "site", "loud", code))
    done = kimi.run("shout", "-x", "a b", "--help", "--", "-y", PYTHONPATH=site)
    assert (done.returncode, done.stdout) == (6, "-x|a b|--help|--|-y\n"), done.stderr
    listed = kimi.run("plugin", "list", PYTHONPATH=site).stdout
    assert "adds: kimi shout\n" in listed
    assert "its subcommand doctor is left out: there is one of that name already." in listed
    failed = kimi.run("shout", PYTHONPATH=site)
    assert failed.returncode == 1
    assert failed.stderr.startswith("kimi: the plugin loud failed: ZeroDivisionError: ")
    assert "kimi plugin disable loud" in failed.stderr
    assert kimi.run("plugin", "disable", "loud", PYTHONPATH=site).returncode == 0
    refused = kimi.run("shout", "it", PYTHONPATH=site)
    assert refused.returncode == 2
    assert 'unexpected argument "it"' in refused.stderr


def test_nothing_in_the_working_folder_is_imported(tmp_path: Path) -> None:
    """Modules of ours, of the standard library and of plugins are not taken from a project that has some of their names."""
    kimi = Program(tmp_path)
    for name in ("kimi_documents", "tomllib", "msgspec", "typer"):
        (kimi.work / f"{name}.py").write_text(f"print('{name} of the project')")
    done = kimi.run("-p", "hi", "--provider", kimi.scenario([{"text": "Hello"}]), PYTHONPATH=":")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello\n", "")


@pytest.mark.parametrize("place", [".kimi/agents", ".kimi/skills", ".kimi/commands", ".claude/agents"])
def test_a_link_in_a_circle_in_a_project_is_passed_over(tmp_path: Path, place: str) -> None:
    kimi = Program(tmp_path)
    (kimi.work / place).mkdir(parents=True)
    (kimi.work / place / "loop").symlink_to("loop")
    done = kimi.run("-p", "hi", "--provider", kimi.scenario([{"text": "Hello"}]))
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello\n", "")


def test_a_link_in_a_circle_costs_no_other_plugin(home: Path, tmp_path: Path) -> None:
    put(home, write_plugin(tmp_path / "hello"), tmp_path / "scratch")
    (home / "plugins" / "loop").symlink_to("loop")
    assert state(home, "hello").state == "on"


def many(home: Path, tmp_path: Path) -> None:
    """A plugin whose tools are beyond the budget; `tool_0` has an optional parameter."""
    optional = {"type": "object", "properties": {"name": {"type": "string"}}}
    tools = [
        {"name": f"tool_{number}", "description": "Prints what it got" * 5, "command": ["cat"], "parameters": optional}
        for number in range(40)
    ]
    put(home, write_plugin(tmp_path / "hello", manifest(tools=tools)), tmp_path / "scratch")


def test_what_the_model_may_not_have_it_does_not_get_through_the_one_tool(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    many(kimi.home, tmp_path)
    kimi.write_config('[tools]\ndisabled = ["tool_7"]\n')
    call = {"call": {"name": "CallPluginTool", "arguments": {"tool": "tool_7", "arguments": {"name": "Ann"}}}}
    scenario = kimi.scenario([call], [{"expect": "There is no tool 'tool_7'"}, {"text": "Refused"}])
    done = kimi.run("-p", "hi", "--provider", scenario, "--yolo")
    assert (done.returncode, done.stdout) == (0, "Refused\n"), done.stderr


def test_without_the_one_tool_all_are_offered_as_they_are(home: Path, tmp_path: Path) -> None:
    many(home, tmp_path)
    plugins = {plugin.name: plugin for plugin in load_plugins(home, {}, lambda tool: tool in ("tool_1", "tool_2"))}
    assert [tool.name for tool in plugins["hello"].tools(None)] == ["tool_1", "tool_2"]  # type: ignore[arg-type,misc]
    assert "plugin-tools" not in plugins


def test_a_tool_behind_the_one_tool_can_be_called_without_its_options(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    many(kimi.home, tmp_path)
    asked = {"call": {"name": "CallPluginTool", "arguments": {"tool": "tool_0"}}}
    called = {"call": {"name": "CallPluginTool", "arguments": {"tool": "tool_0", "arguments": {}}}}
    scenario = kimi.scenario(
        [asked], [{"expect": "Prints what it got"}, called], [{"expect": "{}"}, {"text": "Called"}]
    )
    done = kimi.run("-p", "hi", "--provider", scenario, "--yolo")
    assert (done.returncode, done.stdout) == (0, "Called\n"), done.stderr


def test_plugins_are_found_from_a_folder_that_was_deleted(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "documents" in [found.name for found in find(home, {})]
