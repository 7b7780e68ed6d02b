"""What rules match, in which order they count, and what a file of them may say."""

import os
from pathlib import Path

import pytest
from rule_house import book, call, entry, run

from kimi_agent.agent.tool_names import NAMES
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.message import ToolCall
from kimi_agent.rules.load import built_in, load
from kimi_agent.rules.matching import Place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "proj"
    folder.mkdir()
    return folder


def test_deny_comes_before_ask_before_allow_whatever_the_scope(folder: Path) -> None:
    rules = [
        entry("allow Shell(make *)", "managed"),
        entry("ask Shell(make install)"),
        entry("deny Shell(make clean)", "project"),
    ]
    house = book(folder, rules)
    assert run(house, "make test").verdict == "allow"
    assert run(house, "make install").verdict == "ask"
    assert run(house, "make clean").verdict == "deny"
    assert run(house, "make test && make clean").verdict == "deny"
    assert run(house, "make test && make install").verdict == "ask"
    assert run(house, "make test && touch x").verdict == ""


def test_a_project_can_only_tighten(folder: Path) -> None:
    loaded = load(
        [entry("allow Shell(make)", "project"), entry("deny Shell(curl)", "project")], Place(str(folder)), NAMES
    )
    assert [rule.pattern for rule in loaded.rules] == ["Shell(curl)"]
    assert loaded.problems == ["rules.toml:1: 'Shell(make)' is left out: a project can forbid and ask, not allow"]


def test_a_denial_says_which_rule_and_why(folder: Path) -> None:
    ruling = run(book(folder, [entry("deny Shell(curl)", reason="no network in this project.")]), "ls && curl x")
    assert "the rule Shell(curl) (rules.toml:1) forbids it: no network in this project." in ruling.reason
    assert [(s.text, s.verdict) for s in ruling.segments] == [("ls", "allow"), ("curl x", "deny")]


def test_each_command_of_a_line_says_what_covers_it(folder: Path) -> None:
    ruling = run(book(folder, ["allow Shell(make test)"]), "ls -la && make test | tail -3; pytest -q")
    assert [(s.text, s.verdict) for s in ruling.segments] == [
        ("ls -la", "allow"), ("make test", "allow"), ("tail -3", "allow"), ("pytest -q", "ask"),
    ]  # fmt: skip
    assert ruling.segments[0].why == "only reads"
    assert ruling.segments[1].why == "rule Shell(make test) (rules.toml:1)"


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        (
            "Shell(make test)",
            ["make test", "make  'test'"],
            ["make test -j", "make", "./make test", "/usr/bin/make test"],
        ),
        ("Shell(make test *)", ["make test", "make test -j 3"], ["make tests", "make"]),
        ("Bash(npm run test:*)", ["npm run test", "npm run test -- -u"], ["npm run", "npm run tests"]),
        ("Shell(make t*)", ["make test", "make t"], ["make test all", "make a"]),
        ("Shell(cmake * --build)", ["cmake --build", "cmake a b --build"], ["cmake a --build b"]),
        ("Shell(touch 'a b')", ["touch 'a b'", 'touch "a b"'], ["touch a b"]),
    ],
)
def test_what_allows_covers_whole_commands(folder: Path, rule: str, yes: list[str], no: list[str]) -> None:
    house = book(folder, [f"allow {rule}"])
    assert [line for line in yes if run(house, line).verdict != "allow"] == []
    assert [line for line in no if run(house, line).verdict == "allow"] == []


def test_what_allows_does_not_cover_what_cannot_be_told(folder: Path) -> None:
    house = book(folder, ["allow Shell(make *)", "allow Shell(cd *)"])
    for line in (
        "make $x",
        "make > out",
        "make $(id)",
        "make\ncurl x",
        "make & curl x",
        "A=1 make",
        "make; curl x",
        "make *",
        "cd / && make",
    ):
        assert run(house, line).verdict == "", line
    assert run(house, "cd sub").verdict == "allow"


def test_a_tool_without_a_pattern_is_every_call_of_it(folder: Path) -> None:
    assert run(book(folder, ["allow Bash"]), "curl x | sh > y").verdict == "allow"
    assert run(book(folder, ["deny Shell(*)"]), "ls").verdict == "deny"
    assert run(book(folder, ["ask Bash"]), "ls").verdict == "ask"
    house = book(folder, ["allow Bash", "deny Bash(rm -rf*)"])
    assert run(house, "sudo rm -rf x").verdict == "deny"
    assert call(book(folder, ["deny Fetch*"]), "FetchURL", "fetch", "https://x.org").verdict == "deny"


def test_paths_are_real_paths(folder: Path) -> None:
    (folder / "secrets").mkdir()
    (folder / "secrets" / "key").write_text("k")
    (folder / "innocent").symlink_to("secrets/key")
    (folder / "proj-evil").mkdir()
    house = book(folder, ["deny Read(./secrets/**)", "deny Write(/etc/**)", "deny Read(*.sqlite)", "deny Edit(dist)"])
    assert call(house, "ReadFile", "read", str(folder / "secrets" / "key")).verdict == "deny"
    assert call(house, "Grep", "read", str(folder / "SECRETS" / "KEY")).verdict == "deny"
    assert call(house, "ReadFile", "read", os.path.realpath(folder / "innocent")).verdict == "deny"
    assert call(house, "ReadFile", "read", str(folder / "deep" / "x.sqlite")).verdict == "deny"
    assert call(house, "WriteFile", "write", "/etc/passwd").verdict == "deny"
    assert call(house, "WriteFile", "write", str(folder / "dist" / "a" / "b")).verdict == "deny"
    assert call(house, "ReadFile", "read", str(folder / "secretsX" / "key")).verdict == ""
    assert call(house, "ReadFile", "read", "/etc/passwd").verdict == ""


def test_a_link_is_forbidden_by_its_own_name_too(folder: Path) -> None:
    (folder / "target").write_text("x")
    (folder / "link.txt").symlink_to("target")
    house = book(folder, ["deny Read(link.txt)", "deny Read(sub/../also.txt)"])
    real = os.path.realpath(folder / "link.txt")
    assert call(house, "ReadFile", "read", real, '{"path": "link.txt"}').verdict == "deny"
    assert call(house, "ReadFile", "read", str(folder / "also.txt")).verdict == "deny"


def test_what_may_not_be_read_is_not_read_by_commands(folder: Path) -> None:
    (folder / "secrets").mkdir()
    (folder / "secrets" / "key").write_text("k")
    (folder / "link").symlink_to("secrets/key")
    house = book(folder, ["deny Read(./secrets/**)"])
    for line in ("cat secrets/key", "cat ./x/../secrets/key", "cat link", "cat < secrets/key", "tar cf x secrets/key",
                 "dd if=secrets/key", "python3 -c \"open('secrets/key')\"", "cat secrets/*", f"cat {folder}/secrets/key",
                 "cat 'secrets/key'", "cat s\\ecrets/key",
                 "X=secrets/key; cat $X", "cp -tsecrets/key x", "curl file:secrets/key"):  # fmt: skip
        assert run(house, line).verdict == "deny", line
    assert run(house, "cat secret").verdict != "deny"


def test_what_may_not_be_written_is_not_written_by_commands(folder: Path) -> None:
    house = book(folder, ["deny Write(dist/**)"])
    assert run(house, "echo x > dist/a").verdict == "deny"
    assert run(house, "make >> dist/log 2>&1").verdict == "deny"
    assert run(house, "cp x dist/a").verdict == "ask"
    assert run(house, "cp x lib/a").verdict == ""


def test_what_allows_paths_allows_those_alone(folder: Path) -> None:
    house = book(folder, ["allow WriteFile(src/**)", "allow WriteFile(notes.md)"])
    assert call(house, "WriteFile", "write", str(folder / "src" / "a" / "b.py")).verdict == "allow"
    assert call(house, "WriteFile", "write", str(folder / "notes.md")).verdict == "allow"
    for tool, path in (("WriteFile", folder / "srcs" / "a"), ("WriteFile", folder.parent / "notes.md"),
                       ("WriteFile", folder / "SRC" / "a"),
                       ("StrReplaceFile", folder / "src" / "a"), ("WriteFile", folder / "src")):  # fmt: skip
        assert call(house, tool, "write", str(path)).verdict == "", path


@pytest.mark.parametrize(
    ("rule", "url", "allowed", "denied"),
    [
        ("example.org", "https://example.org/a", True, True),
        ("example.org", "https://EXAMPLE.org.:443/", True, True),
        ("example.org", "https://example.org.evil.com/", False, False),
        ("example.org", "https://evilexample.org/", False, False),
        ("example.org", "https://sub.example.org/", False, True),
        ("*.example.org", "https://sub.example.org/", True, True),
        ("*.example.org", "https://example.org/", False, True),
        ("domain:example.org", "https://example.org", True, True),
        ("example.org", "https://evil\0.example.org/", False, True),
        ("example.org", "https://user@evil.com/example.org", False, False),
        ("example.org", "https://example.org@evil.com/", False, False),
        ("example.org", "https://ｅxample.org/", False, True),
        ("https://example.org/docs/*", "https://example.org/docs/a", True, True),
        ("https://example.org/docs/*", "https://example.org/other", False, True),
    ],
)
def test_hosts_label_by_label(folder: Path, rule: str, url: str, allowed: bool, denied: bool) -> None:
    private = book(folder, [f"allow FetchURL({rule})"])
    target = [rule for rule in private.rules if rule.kind == "fetch"]
    from kimi_agent.rules.matching import allows

    assert allows(target[0], Effect("fetch", url), private.place) is allowed
    assert (call(book(folder, [f"deny FetchURL({rule})"]), "FetchURL", "fetch", url).verdict == "deny") is denied


def test_a_forbidden_host_is_not_reached_by_commands(folder: Path) -> None:
    house = book(folder, ["deny FetchURL(evil.com)"])
    for line in ("curl https://evil.com/x", "wget 'http://a.EVIL.com:80'", "git clone https://user@evil.com/r"):
        assert run(house, line).verdict == "deny", line
    assert run(house, "curl https://evil.com.example.org").verdict == ""


@pytest.mark.parametrize("rule", ["mcp__github__delete_repo", "mcp__github__*", "mcp__github", "mcp__GitHub__Delete_*"])
def test_tools_of_servers(folder: Path, rule: str) -> None:
    house = book(folder, [f"deny {rule}"])
    assert call(house, "mcp__github__delete_repo", "mcp", "github/delete_repo").verdict == "deny"
    assert call(house, "mcp__gitlab__delete_repo", "mcp", "gitlab/delete_repo").verdict == ""


def test_a_tool_of_a_server_that_is_allowed(folder: Path) -> None:
    house = book(folder, ["allow mcp__github__list_*"])
    assert call(house, "mcp__github__list_issues", "mcp", "github/list_issues").verdict == "allow"
    assert call(house, "mcp__github__delete", "mcp", "github/delete").verdict == ""
    assert call(house, "list_issues", "mcp", "other/list_issues").verdict == ""


@pytest.mark.parametrize("scope", ["managed", "user", "session", "project"])
def test_only_a_person_lets_a_command_out_of_the_box(folder: Path, scope: str) -> None:
    effects = [Effect("run", "ls"), Effect("widen", "net:example.org")]
    assert book(folder, ["allow Shell"]).judge(ToolCall("1", "Shell", "{}"), effects).verdict == "ask"
    loaded = load([entry("allow Widen(net:example.org)", scope)], Place(str(folder)), NAMES)
    house = book(folder)
    house.rules = loaded.rules
    expected = "allow" if scope in ("managed", "user") else "ask"
    assert house.judge(ToolCall("1", "Shell", "{}"), effects).verdict == expected
    assert house.judge(ToolCall("1", "Shell", "{}"), [*effects, Effect("widen", "host")]).verdict == "ask"


# --- examples and errors ----------------------------------------------------------------------------------------------


def test_examples_are_checked(folder: Path) -> None:
    good = entry(
        "deny Shell(git push --force)",
        match=("git push -f", "sudo git push --force"),
        not_match=("git push", "git pull -f"),
    )
    assert load([good], Place(str(folder)), NAMES).problems == []
    entries = [
        entry("allow Shell(make *)", match=("make -j",), not_match=("make install",)),
        entry("deny Shell(rm -rf)", match=("rm -r x",)),
        entry("ask Read(*.pem)", match=("a/b.pem",), not_match=("a.pem.txt",)),
    ]
    loaded = load(entries, Place(str(folder)), NAMES)
    assert loaded.problems == [
        "rules.toml:1: the rule 'Shell(make *)' matches 'make install', its example of what it must not, and is left out",
        "rules.toml:1: the rule 'Shell(rm -rf)' does not match its example 'rm -r x'",
    ]
    assert [rule.decision for rule in loaded.rules] == ["deny", "ask"]


@pytest.mark.parametrize("pattern", ["", "Shell(rm", "Shell)", "a b", "Think(x)", "(rm)"])
def test_a_rule_that_cannot_be_read_never_loosens(folder: Path, pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"rules\.toml:1"):
        load([entry(f"deny {pattern}")], Place(str(folder)), NAMES)
    loaded = load([entry(f"allow {pattern}"), entry(f"deny {pattern}", "project")], Place(str(folder)), NAMES)
    assert loaded.rules == []
    assert len(loaded.problems) == 2


# --- "always" ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "python3 x.py", "bash run.sh", "sudo touch x", "env touch x", "timeout 5 touch x", "npm test", "npx x",
        "pip install x", "git push", "git commit -m x", "docker ps", "ssh host", "curl x", "rm x", "make", "find . -delete",
        "xargs touch", "./run.sh", "node -e 1", "cat .env", "touch x > y", "touch $x", "touch x\ntouch y", "export A=1",
        "cd /", "no-such-program x", "touch '*'", "uv run x", "python3.11 x", "touch ok && git push",
        "tar xf a", "split a", "man a", "openssl x",
    ],
)  # fmt: skip
def test_always_is_not_offered(folder: Path, line: str) -> None:
    (folder / "run.sh").write_text("x")
    (folder / "run.sh").chmod(0o755)
    ruling = run(book(folder), line)
    assert ruling.verdict == ""
    assert ruling.always == ()


def test_always_names_the_exact_rules(folder: Path) -> None:
    assert run(book(folder), "touch 'a b' && ls && mkdir -p x").always == ("Shell(touch 'a b')", "Shell(mkdir -p x)")


def test_always_holds_for_these_words_this_program_and_this_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, str]] = []
    house = book(folder)
    house.keep = lambda new: kept.extend(map(dict, new))
    effects = [Effect("run", "touch x")]
    house.remember(ToolCall("1", "Shell", "{}"), effects)
    assert kept == [
        {
            "decision": "allow",
            "pattern": "Shell(touch x)",
            "cwd": str(folder),
            "exe": os.path.realpath("/usr/bin/touch"),
        }
    ]
    assert run(house, "touch x").verdict == "allow"
    assert run(house, "touch y").verdict == ""
    assert run(house, "touch x", str(folder.parent)).verdict == ""
    again = [entry("allow Shell(touch x)", cwd=str(folder), exe=os.path.realpath("/usr/bin/touch"))]
    assert run(book(folder, again), "touch x").verdict == "allow"
    (folder.parent / "elsewhere").mkdir()
    assert run(book(folder.parent / "elsewhere", again), "touch x").verdict == ""
    planted = folder / "bin"
    planted.mkdir()
    (planted / "touch").write_text("#!/bin/sh\n")
    (planted / "touch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{planted}:{os.environ['PATH']}")
    assert run(book(folder, again), "touch x").verdict == ""


# --- what no configuration takes back ---------------------------------------------------------------------------------


@pytest.fixture
def guarded(folder: Path) -> Path:
    home = folder.parent / "home"
    (home / "sessions" / "s1").mkdir(parents=True)
    (home / "config.toml").write_text("")
    (folder / ".kimi").mkdir()
    return home


def test_what_decides_about_the_model_is_not_written_by_it(folder: Path, guarded: Path) -> None:
    house = book(folder, ["allow WriteFile", "allow StrReplaceFile", "allow Shell"])
    house.rules += built_in(str(guarded), str(folder))
    for path in (
        "config.toml",
        "CONFIG.toml",
        "rules.toml",
        "config.toml.bak",
        "credentials.json",
        "trust.json",
        "sessions/s1.jsonl",
        "mcp.json",
    ):
        for tool in ("WriteFile", "StrReplaceFile"):
            assert call(house, tool, "write", str(guarded / path)).verdict == "deny", path
        assert run(house, f"echo x > {guarded}/{path}").verdict == "deny", path
        for line in (
            f"tee {guarded}/{path}",
            f"cp x ../home/{path}",
        ):  # no rule allows it, and it is not known to write
            assert run(house, line, str(guarded)).verdict == "", line
    assert call(house, "WriteFile", "write", str(folder / ".kimi" / "rules.toml")).verdict == "deny"
    os.link(guarded / "config.toml", folder / "hard.txt")
    assert call(house, "WriteFile", "write", str(folder / "hard.txt")).verdict == "deny"
    for path in (".git/hooks/pre-commit", ".git/config", ".kimiignore"):
        assert call(house, "WriteFile", "write", str(folder / path)).verdict == "ask", path
        assert run(house, f"echo x > {path}").verdict == "ask", path
    for path in ("sessions/s1/out.txt", "plans/p.md", "skills/x/SKILL.md"):
        assert call(house, "WriteFile", "write", str(guarded / path)).verdict == "allow", path
    assert run(house, f"tail {guarded}/sessions/s1/out.txt").verdict == "allow"
