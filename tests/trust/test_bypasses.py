"""Nothing that hides a command runs unasked, and what is forbidden is forbidden in every disguise (T13, T15)."""

import subprocess
from pathlib import Path

import pytest
from bypasses import bypasses
from rule_house import book, run

CORPUS = list(bypasses())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house") / "w"
    folder.mkdir()
    for name in ("a.txt", "a", "b", "in", "x", ".env", "server.pem", "cat", "ls"):
        (folder / name).write_text("text\n")
    (folder / "cat").chmod(0o755)
    (folder / "ls").chmod(0o755)
    for name in ("dir", "dir2", "bin"):
        (folder / name).mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 400


def test_none_of_the_corpus_runs_unasked(folder: Path) -> None:
    rules = book(folder)
    assert [line for line in CORPUS if run(rules, line).verdict == "allow"] == []


def test_rules_that_allow_do_not_open_a_door(folder: Path) -> None:
    rules = book(
        folder, ["allow Shell(true *)", "allow Shell(npm run lint)", "allow Shell(cat a.txt)", "allow Shell(pwd)"]
    )
    assert [line for line in CORPUS if run(rules, line).verdict == "allow"] == []
    assert run(rules, "npm run lint && cat a.txt | head -3").verdict == "allow"


@pytest.mark.parametrize(
    "line",
    [
        "ls", "ls -la && pwd", "git status", "git log --oneline -5 | head -3", "git diff HEAD~1 --stat", "cat a.txt",
        "cat ./dir/../a.txt", "grep -n text a.txt | wc -l", "find . -name '*.py' -type f", "head -n 5 a.txt; tail -2 a.txt",
        "sed -n 1,5p a.txt", "wc -l a.txt b", "sort a.txt | uniq -c | sort -rn", "echo done", "git branch --show-current",
        "diff a b", "git show HEAD --stat",
    ],
)  # fmt: skip
def test_what_only_reads_runs_unasked(folder: Path, line: str) -> None:
    ruling = run(book(folder), line)
    assert ruling.verdict == "allow", ruling


DISGUISES = (
    "{}", "/bin/{}", "./{}", "\\{}", "'{}'", "sudo {}", "sudo -u root -- {}", "env A=1 {}", "nice -n 3 {}", "timeout 5 {}",
    "nohup {} &", "ls | xargs {}", "find . -exec {} \\;", "({})", "{{ {}; }}", "$({})", "`{}`", 'echo "$({})"',
    "bash -c '{}'", "bash -c \"bash -c '{}'\"", "eval {}", "eval '{}'", "true && {}", "true; {}", "true\n{}", "true\r{}",
    "true & {}", "true | {}", "if true; then {}; fi", "f() {{ {}; }}; f", "cat <<E\n{}\nE", "alias q='{}'; q",
    "trap '{}' EXIT", "x='{}'; $x", "a=1 {}", "! {}", "time {}", "while {}; do :; done", "case a in a) {};; esac",
    "ls <({})", "watch {}", "exec {}", "command {}", "ssh host '{}'", "coproc {}", "setsid {}",
    "python3 -c 'import os; os.system(\"{}\")'", "true # '\n{} # '", "ls;\u200b{}", "ls;\u00a0{}", "${{x:-$({})}}",
    "echo ${{x:=`{}`}}", "docker run x {}", "make SHELL='{}'", "parallel {}", "git -c alias.x='!{}' x",
    "git rebase --exec '{}' m", "echo '{}' | sh", "env -S '{}'", "script -c '{}'", "sh <<< '{}'", "{} > out", "> out {}",
    "2>&1 {}", "<in {}", "true;;{}", "[[ a ]] && {}", "((1)); {}", "foo() ( {} ); foo", "until {}; do :; done",
    "select i in a; do {}; done",
)  # fmt: skip


@pytest.mark.parametrize("disguise", DISGUISES)
def test_what_is_denied_is_denied_in_disguise(folder: Path, disguise: str) -> None:
    line = disguise.format("rm -rf x")
    for rule in ("deny Shell(rm)", "deny Bash(rm -rf*)", "deny Shell(rm -rf *)", "deny Shell(rm -r)"):
        assert run(book(folder, [rule]), line).verdict == "deny", (rule, line)


@pytest.mark.parametrize(
    "line",
    [
        "rm -R -f x", "rm -Rf x", "echo rm -rf x | sh", "printf rm -rf x | bash", ". <(echo rm -rf x)",
        "python3 -c \"import subprocess as s; s.run(['rm', '-rf', 'x'])\"", "perl -e 'system(\"rm\",\"-rf\",\"x\")'",
        "/lib64/ld-linux-x86-64.so.2 /bin/rm -rf x", "setpriv rm -rf x", "setarch x86_64 rm -rf x", "linux64 rm -rf x",
        "choom -n 0 -- rm -rf x", "capsh -- -c 'rm -rf x'", "sg g 'rm -rf x'", "eatmydata rm -rf x", "rlwrap rm -rf x",
        "nix develop -c rm -rf x", "nix-shell --run 'rm -rf x'", "man -P 'rm -rf x' ls", "less +'!rm -rf x' a",
        "zip a b -T -TT 'rm -rf x'", "rsync -e 'rm -rf x' a b", "sort --compress-program='rm -rf x' a",
        "split --filter='rm -rf x' a", "dc -e '!rm -rf x'", "compgen -C 'rm -rf x' a",
        "tar --checkpoint-action=exec='rm -rf x' -cf a b",
    ],
)  # fmt: skip
def test_what_runs_others_in_its_own_way_hides_nothing(folder: Path, line: str) -> None:
    assert run(book(folder, ["deny Shell(rm -rf)"]), line).verdict == "deny"


@pytest.mark.parametrize(
    "line",
    [
        "r''m x", "r\\m x", '"r"m x', "$'\\x72m' x", "$'\\162m' x", "rm$IFS-rf", "rm${IFS}x", "{rm,-rf,x}", "RM x",
        "/bin/r? x", "/bin/r[m] x", "x=rm; $x y", "x=r; ${x}m y", "${y:-rm} x", "r$@m x", "\u0433m x", "ｒｍ x", "rm\\\n x",
        "r\\\nm x",
    ],
)  # fmt: skip
def test_spellings_of_a_name_are_one_name(folder: Path, line: str) -> None:
    assert run(book(folder, ["deny Shell(rm)"]), line).verdict == "deny"


@pytest.mark.parametrize(
    "line", ["$(echo rm) x", "$X y", "$(printf 'r%s' m) x", "git $CMD", "eval $X", "IFS=,; c=rm,x; $c"]
)
def test_what_only_the_run_can_tell_is_asked_for(folder: Path, line: str) -> None:
    assert run(book(folder, ["deny Shell(rm)", "deny Shell(git push)"]), line).verdict == "ask"


@pytest.mark.parametrize(
    "line",
    [
        "git rm x",
        "echo rm x",
        "git commit -m 'fix; rm the rest'",
        "ls rm",
        "npm run format",
        "cat rm.txt",
        "grep -n 'rm -rf' a",
    ],
)
def test_what_is_not_forbidden_is_not_denied(folder: Path, line: str) -> None:
    assert run(book(folder, ["deny Shell(rm)"]), line).verdict != "deny"


def test_flags_are_told_apart_from_their_spelling(folder: Path) -> None:
    rules = book(folder, ["deny Shell(rm -rf)", "deny Shell(git push --force)"])
    for line in (
        "rm -fr x", "rm -r -f x", "rm --recursive --force x", "rm -v -rfi x", "git push origin main --force", "git push -f",
        "git -C sub push --force", "git push --forc",
    ):  # fmt: skip
        assert run(rules, line).verdict == "deny", line
    for line in ("rm -r x", "rm x", "git push origin main", "git fetch --force"):
        assert run(rules, line).verdict == "", line


@pytest.mark.parametrize("count", [1, 51, 5000, 10_000])
@pytest.mark.parametrize("where", ["first", "last"])
def test_a_denial_holds_in_any_company(folder: Path, count: int, where: str) -> None:
    others = "; ".join(["true && echo hello"] * count)
    line = f"curl evil.example; {others}" if where == "first" else f"{others}; curl evil.example"
    assert run(book(folder, ["deny Shell(curl)"]), line).verdict == "deny"


@pytest.mark.parametrize("length", [4095, 4097, 9_999, 10_000, 10_001, 1_000_000])
def test_a_denial_holds_at_any_length(folder: Path, length: int) -> None:
    tail = "; curl evil.example"
    padded = "echo " + "x" * (length - len(tail) - 5) + tail
    blank = "echo" + " " * (length - len(tail) - 4) + tail
    for line in (padded, blank):
        assert len(line) == length
        assert run(book(folder, ["deny Shell(curl)"]), line).verdict == "deny"
