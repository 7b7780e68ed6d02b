"""Tab in shell mode: real shells complete, with what was defined in them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shell_person import SHELLS, Person, path_of

from kimi_agent.frontends.common.shell_complete import complete, parse


@pytest.fixture(params=SHELLS)
async def person(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Person]:
    made = Person(tmp_path, path_of(request.param))
    yield made
    made.shell.kill()


@pytest.fixture
async def bash(tmp_path: Path) -> AsyncIterator[Person]:
    made = Person(tmp_path, path_of("bash"))
    yield made
    made.shell.kill()


async def inserts(person: Person, line: str) -> list[str]:
    """The line as each candidate would make it."""
    found = await complete(person.shell, line)
    return [line[: found.start] + item.insert for item in found.items]


@pytest.mark.parametrize(
    ("line", "words", "last", "start"),
    [
        ("", (), "", 0),
        ("ec", (), "ec", 0),
        ("git  che", ("git",), "che", 5),
        ("a; b | c 'd e", ("c",), "d e", 9),
        ("x && FOO=1 y z", ("y",), "z", 13),
        ("cat < fi", ("cat",), "fi", 6),
        ("echo $(ls a", ("ls",), "a", 10),
        ("cd a\\ b", ("cd",), "a b", 3),
        ("if true; then gr", (), "gr", 14),
        ('e "a\\"b', ("e",), 'a"b', 2),
    ],
)
def test_the_command_that_is_typed(line: str, words: tuple[str, ...], last: str, start: int) -> None:
    typed = parse(line)
    assert (typed.words, typed.last, typed.start) == (words, last, start)


async def test_files_are_quoted_as_they_are_typed(person: Person, tmp_path: Path) -> None:
    (tmp_path / "my folder").mkdir()
    (tmp_path / "my folder/it's $5.txt").touch()
    assert await inserts(person, "cat my") == ["cat my\\ folder/"]
    assert await inserts(person, "cat my\\ folder/it") == ["cat my\\ folder/it\\'s\\ \\$5.txt "]
    assert await inserts(person, 'cat "my folder/i') == ['cat "my folder/it\'s \\$5.txt" ']
    assert await person.run((await inserts(person, "stat -c %n 'my folder/i"))[0]) == (0, "my folder/it's $5.txt")
    assert await inserts(person, "cat ~/my") == ["cat ~/my\\ folder/"]
    assert await inserts(person, "cat no-such-thing-at-al") == []


async def test_the_running_shell_is_asked_and_stays_as_it_is(person: Person, tmp_path: Path) -> None:
    (tmp_path / "sub/inner").mkdir(parents=True)
    await person.run("cd sub")
    await person.run("alias zzalias=ls")
    assert await inserts(person, "cd in") == ["cd inner/"]
    if person.shell.kind != "sh":
        assert await inserts(person, "zzal") == ["zzalias "]
    assert await person.run("pwd") == (0, str(tmp_path / "sub"))
    await person.run("sh -c 'exit 3'")
    await inserts(person, "cd in")
    assert await person.run("echo $status" if person.shell.kind == "fish" else "echo $?") == (0, "3")
    assert "inner" not in person.output


async def test_functions_variables_and_programmed_completion(bash: Person, tmp_path: Path) -> None:
    await bash.run("zzfun() { :; }; export ZZVAR=1; export PATH=$PATH:~/bin")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/zztool").write_text("#!/bin/sh\n")
    (tmp_path / "bin/zztool").chmod(0o755)
    assert await inserts(bash, "zz") == ["zzfun ", "zztool "]
    assert await inserts(bash, "echo $ZZ") == ["echo $ZZVAR "]
    await bash.run(
        """_c() { [[ $3 == --kind ]] && COMPREPLY=($(compgen -W 'red reddish' -- "$2")) || COMPREPLY=(--kind=); }"""
    )
    await bash.run("complete -o nospace -F _c zztool; complete -W 'alpha beta' zzfun; alias zzal='zzfun x'")
    assert await inserts(bash, "zztool --kind red") == ["zztool --kind red", "zztool --kind reddish"]
    assert (await complete(bash.shell, "zztool --kind r")).common == "red"
    assert await inserts(bash, "zztool --k") == ["zztool --kind="]
    assert await inserts(bash, "true | zzfun be") == ["true | zzfun beta "]
    assert await inserts(bash, "zzal al") == ["zzal alpha "]


async def test_nothing_of_it_is_seen_or_remembered(bash: Person, tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("echo welcome; PROMPT_COMMAND='echo prompted'; HISTFILE=~/h; HISTCONTROL=\n")
    assert await inserts(bash, "ech") == ["echo "]
    code, output = await bash.run("echo one")
    assert code == 0
    assert [word for word in output.split() if word != "prompted"] == ["welcome", "one"]
    bash.output = ""
    await inserts(bash, "ech")
    assert "prompted" not in bash.output
    assert "__kimi" not in (await bash.run("history; jobs"))[1]


async def test_a_completion_that_hangs_is_not_waited_for(bash: Person, tmp_path: Path) -> None:
    (tmp_path / "file.txt").touch()
    await bash.run("_hang() { echo > ~/asked; sleep 1000; }; complete -F _hang slow")
    assert await inserts(bash, "slow fi") == ["slow file.txt "]
    assert (tmp_path / "asked").exists()
    assert await bash.run("echo alive") == (0, "alive")


async def test_a_command_that_runs_is_not_disturbed(bash: Person, tmp_path: Path) -> None:
    (tmp_path / "file.txt").touch()

    async def during() -> None:
        assert await inserts(bash, "cat fi") == ["cat file.txt "]

    asked: list[asyncio.Task[None]] = []
    code, output = await bash.run(
        "echo ready; read line; echo got $line",
        ("ready", lambda: asked.append(asyncio.create_task(during()))),
        ("ready", lambda: bash.shell.type("x\r")),
    )
    await asked[0]
    assert (code, output.splitlines()[-1]) == (0, "got x")
