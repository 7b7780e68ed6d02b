"""Saving keeps what is there, and never leaves half a file."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nightly import examples

from kimi_agent.config.edit import save
from kimi_agent.config.file import parse_source
from kimi_agent.core.errors import ConfigError

TEXT = """# mine
default_model = "a"   # the quick one

[models.a]   # keep
provider = "p"
model    = 'x'
future_key = 1
"""


def test_comments_order_and_unknown_keys_survive(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(TEXT)
    save(file, {("default_model",): "b", ("models", "b", "model"): "y"})
    text = file.read_text()
    assert '# mine\ndefault_model = "b"   # the quick one\n' in text
    assert "[models.a]   # keep\nprovider = \"p\"\nmodel    = 'x'\nfuture_key = 1\n" in text
    assert tomllib.loads(text)["models"]["b"] == {"model": "y"}
    assert (tmp_path / "config.toml.bak").read_text() == TEXT


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "config.toml"
    save(file, {("providers", "p", "api_key"): "sk"})
    file.chmod(0o644)
    save(file, {("providers", "p", "api_key"): "sk2"})
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.with_name("config.toml.bak").stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in file.parent.iterdir()) == ["config.toml", "config.toml.bak", "config.toml.lock"]


@pytest.mark.parametrize("broken", ["a = \n", '{"a": 1}', "\xff = 1"])
def test_a_broken_file_is_never_overwritten(tmp_path: Path, broken: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(broken.encode("latin-1"))
    with pytest.raises(ConfigError):
        save(file, {("default_model",): "b"})
    assert file.read_bytes() == broken.encode("latin-1")


def test_a_symlink_stays_one(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text(TEXT)
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    save(link, {("default_model",): "b"})
    assert link.is_symlink()
    assert tomllib.loads(real.read_text())["default_model"] == "b"


def test_removing(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(TEXT)
    save(file, {("models", "a", "future_key"): None, ("nothing", "here"): None})
    assert tomllib.loads(file.read_text()) == {"default_model": "a", "models": {"a": {"provider": "p", "model": "x"}}}


INLINE = """# mine
models = {}  # none yet
hooks = []
providers = { p = { type = "kimi", custom_headers = { a = "b" } } }
default_model = ""   # the quick one

[plugins]
words = { lines = true }  # how
other = 1   # kept

[ui]   # mine
theme = "dark"
"""


def test_inline_tables_and_arrays_are_written_out_when_something_is_added(tmp_path: Path) -> None:
    """kimi-cli writes `hooks = []`, and TOML lets nobody put a table into an inline one."""
    file = tmp_path / "config.toml"
    file.write_text(INLINE)
    hook = {"event": "Stop", "command": "true", "timeout": 5}
    changes = {
        ("models", "a"): {"provider": "p", "sampling": {"top_p": 1}},
        ("providers", "q", "api_key"): "sk",
        ("providers", "p", "custom_headers", "c"): "d",
        ("plugins", "words", "more"): {"deep": [1]},
        ("default_model",): "a",
    }
    save(file, changes, append={"hooks": [hook]})
    text = file.read_text()
    expected = tomllib.loads(INLINE) | {"models": {"a": changes["models", "a"]}, "hooks": [hook], "default_model": "a"}
    expected["providers"] = {"p": {"type": "kimi", "custom_headers": {"a": "b", "c": "d"}}, "q": {"api_key": "sk"}}
    expected["plugins"] = {"words": {"lines": True, "more": {"deep": [1]}}, "other": 1}
    assert tomllib.loads(text) == expected
    for kept in ("# mine\n", 'default_model = "a"   # the quick one\n', "other = 1   # kept\n", "[ui]   # mine\n"):
        assert kept in text
    save(file, {}, append={"hooks": [hook]})
    assert tomllib.loads(file.read_text()) == expected | {"hooks": [hook, hook]}


@pytest.mark.parametrize(
    "before",
    [
        "hooks = [{event = 'Stop', command = 'a'}]\n",
        "hooks = [\n  {event = 'Stop', command = 'a'},  # first\n]\nyolo = true\n[ui]\n",
        "[[hooks]]  # kept\nevent = 'Stop'\ncommand = 'a'\n[ui]\ntheme = 'dark'\n",
        "yolo = true\n[ui]\n[[hooks]]\nevent = 'Stop'\ncommand = 'a'",
    ],
)
def test_an_entry_is_added_to_every_form_of_an_array(tmp_path: Path, before: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(before)
    save(file, {("models", "m"): {"provider": "p"}}, append={"hooks": [{"event": "Stop", "command": "b"}]})
    expected = tomllib.loads(before)
    expected["hooks"].append({"event": "Stop", "command": "b"})
    assert tomllib.loads(file.read_text()) == expected | {"models": {"m": {"provider": "p"}}}
    assert ("# kept" in file.read_text()) is ("# kept" in before)


def test_tables_of_dotted_keys_take_nothing_from_what_follows(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('models.a.provider = "p"\nyolo = true\n')
    save(file, {("models", "b"): {"provider": "q"}})
    models = {"a": {"provider": "p"}, "b": {"provider": "q"}}
    assert tomllib.loads(file.read_text()) == {"yolo": True, "models": models}


def test_what_the_text_cannot_take_is_told_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("models = 3\n")
    with pytest.raises(ConfigError, match=r"models.a.model cannot be set"):
        save(file, {("models", "a", "model"): "x"})
    assert file.read_text() == "models = 3\n"


def test_savers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    program = (
        "import sys; from pathlib import Path; from kimi_agent.config.edit import save\n"
        "for n in range(10): save(Path(sys.argv[1]), {('models', f'{sys.argv[2]}-{n}', 'model'): 'x'})"
    )
    children = [subprocess.Popen([sys.executable, "-c", program, str(file), str(i)], env=os.environ) for i in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert len(tomllib.loads(file.read_text())["models"]) == 30


names = st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=8)
values = st.one_of(st.text(max_size=20).filter(lambda s: "\r" not in s), st.integers(-(2**60), 2**60), st.booleans())


@settings(max_examples=examples(50))
@given(st.lists(st.tuples(st.tuples(names, names), values), max_size=4), st.sampled_from(["", TEXT, TEXT.rstrip()]))
def test_what_is_saved_is_read_back(tmp_path_factory: pytest.TempPathFactory, changes: list, text: str) -> None:
    file = tmp_path_factory.mktemp("c") / "config.toml"
    file.write_text(text)
    expected = tomllib.loads(text)
    wanted = {keys: value for keys, value in changes if keys[0] not in expected}
    save(file, wanted)
    for (table, key), value in wanted.items():
        expected.setdefault(table, {})[key] = value
    assert tomllib.loads(file.read_text()) == expected


@given(st.text(max_size=60))
def test_any_text_is_data_or_one_config_error(text: str) -> None:
    message = ""
    try:
        parse_source(text, "c")
    except ConfigError as error:
        message = str(error)
    assert not message or message.startswith("c:")
