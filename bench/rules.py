"""How long the check of permission rules takes, in processor time: microseconds for usual commands, seconds for huge ones."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from rule_house import book, run

from kimi_agent.rules.book import RuleBook
from kimi_agent.rules.scan import scan

RULES = (
    "deny Shell(rm -rf)", "deny Shell(git push --force)", "ask Shell(git push)", "deny Shell(curl)", "deny Read(./secrets/**)",
    "deny Write(dist/**)", "deny FetchURL(evil.example)", "ask Shell(docker)", "allow Shell(npm test *)", "allow Shell(make *)",
)  # fmt: skip
USUAL = (
    "ls -la", "git status", "git log --oneline -20 | head -5", "git diff HEAD~1 --stat", "cat a.txt", "npm test -- -u",
    "grep -n text a.txt | wc -l", "cd sub && python3 -m pytest -q tests/test_a.py", "find . -name '*.py' | xargs grep -n x",
    "for f in *.py; do sed -i s/a/b/ \"$f\"; done", "cat <<EOF > a\ntext\nEOF", "sed -n 1,20p a.txt && make test",
)  # fmt: skip
HUGE = {
    "10,000 commands": "; ".join(["true && echo hello"] * 5000) + "; x",
    "1 MB of words": "echo " + "word " * 200_000,
    "1 MB of brackets": "echo " + "$(" * 500_000,
    "1 MB of strings for bash": "bash -c " + "'a;b' " * 166_000,
}


def fresh(rules: RuleBook, line: str) -> float:
    """Seconds of one check whose command was not seen before."""
    scan.cache_clear()
    started = time.process_time()
    run(rules, line)
    return time.process_time() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(os.path.realpath(name))
        subprocess.run(["git", "init", "-q", name], check=True)
        (folder / "a.txt").write_text("text\n")
        rules = book(folder, RULES)
        every: list[float] = []
        for line in USUAL:
            times = [fresh(rules, line) * 1e6 for _ in range(200)]
            every += times
            print(f"{statistics.median(times):8.0f} µs  {line!r}")
        ordered = sorted(every)
        late = ordered[int(len(ordered) * 0.99)]
        print(f"median {statistics.median(ordered):.0f} µs, 99th percentile {late:.0f} µs, {len(RULES)} rules")
        for what, line in HUGE.items():
            print(f"{fresh(rules, line):8.2f} s   {what}")


if __name__ == "__main__":
    main()
