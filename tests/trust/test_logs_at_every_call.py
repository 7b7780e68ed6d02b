"""A session file that is killed, refused or shared at any of its system calls (T30, T31, T32, T34)."""

import contextlib
import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import syscalls

from kimi_agent.agent.store import encode_line, open_log, read_events
from kimi_agent.core import event as ev
from kimi_agent.core.errors import SessionError

traced = pytest.mark.skipif(not syscalls.can_trace(), reason="needs ptrace on x86_64 Linux")

BEGIN = [
    ev.SessionStarted("s", "/w", 1.0, "0", "m", system_prompt="be good"),
    ev.TurnStarted(1),
    ev.Notice("info", "0"),
]
TORN = b'{"type":"notice","level":"info","te'
TEXTS = ["0", "1", "2", "3"]
RARE = (errno.EDQUOT, errno.EROFS, errno.EIO)
FAULTS = [errno.ENOSPC, errno.ENOLCK, *(pytest.param(rare, marks=pytest.mark.nightly) for rare in RARE)]
DISK = frozenset(["write", "ftruncate", "openat", "flock", "mkdir", "close"])


class Scene:
    """A session whose last line is torn; it is taken up, and three events are added."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "s.jsonl"

    def set(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        self.path.write_bytes(b"".join(map(encode_line, BEGIN)) + TORN)

    def work(self) -> None:
        log, _ = open_log(self.path)
        for text in TEXTS[1:]:
            with contextlib.suppress(SessionError):  # told; it goes on in memory
                log.append(ev.Notice("info", text))
        log.close()

    def texts(self) -> list[str]:
        return [event.text for event in read_events(self.path)[0] if isinstance(event, ev.Notice)]

    def goes_on(self) -> list[str]:
        """What the file holds after somebody has taken it up and added an event."""
        log, _ = open_log(self.path)
        log.append(ev.Notice("info", "later"))
        log.close()
        return self.texts()


@traced
def test_a_kill_costs_at_most_what_was_being_written(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in syscalls.everywhere(scene.work, scene.set):
        outcome = syscalls.run(scene.work, at=number)
        kept = scene.texts()
        assert kept == TEXTS[: len(kept)], outcome
        assert scene.goes_on() == [*kept, "later"], outcome


@traced
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: errno.errorcode[fault])
def test_a_fault_of_the_disk_loses_no_event(tmp_path: Path, fault: int) -> None:
    """What one write could not keep the next one does, and nothing is glued to the torn line."""
    scene = Scene(tmp_path)
    for number in syscalls.everywhere(scene.work, scene.set, only=DISK):
        outcome = syscalls.run(scene.work, at=number, refuse=fault, only=DISK)
        if outcome.code:  # it could not even be read, which ends it with an error
            assert outcome.calls[-1] in ("openat", "close"), outcome
            continue
        assert scene.texts() == TEXTS, (number, outcome)
        assert scene.goes_on() == [*TEXTS, "later"]


@traced
@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_a_session_on_a_disk_that_stays_full_is_taken_up_and_told(tmp_path: Path, fault: int) -> None:
    scene = Scene(tmp_path)

    def work() -> None:
        log, damaged = open_log(scene.path)
        assert [event.text for event in log.events[2:]] == ["0"]
        assert damaged == (0 if log.path.read_bytes().endswith(b"\n") else 1)
        with pytest.raises(SessionError, match=os.strerror(fault)):
            log.append(ev.Notice("info", "1"))
        assert not log.written

    scene.set()
    scene.path.chmod(0o600)
    outcome = syscalls.run(work, refuse=fault, only=frozenset(["write", "ftruncate", "mkdir"]))
    assert outcome.code == 0, outcome
    assert scene.goes_on() == ["0", "later"]


@pytest.mark.parametrize("damage", ["nul", "twice"])
def test_a_power_cut_and_a_careless_copy(tmp_path: Path, damage: str) -> None:
    """Blocks of zeros at the end, and every line twice."""
    path = tmp_path / "s.jsonl"
    lines = [encode_line(event) for event in [*BEGIN, ev.Notice("info", "1")]]
    path.write_bytes(b"".join(lines) + b"\0" * 5000 if damage == "nul" else b"".join(line * 2 for line in lines[1:]))
    if damage == "twice":
        path.write_bytes(lines[0] + path.read_bytes())
    log, _ = open_log(path)
    log.append(ev.Notice("info", "2"))
    log.close()
    found = [event.text for event in read_events(path)[0] if isinstance(event, ev.Notice)]
    assert list(dict.fromkeys(found)) == ["0", "1", "2"]


WRITER = """
    import errno, sys
    from pathlib import Path
    import syscalls
    from kimi_agent.agent.store import open_log
    from kimi_agent.core import event as ev

    def work():
        log, _ = open_log(Path(sys.argv[1]))
        for number in range(40):
            log.append(ev.Notice("info", f"{sys.argv[2]} {number} " + "x" * (number % 97 * 50)))

    sys.exit(syscalls.run(work, refuse=errno.ENOLCK, only=frozenset(["flock"])).code)
"""


@traced
def test_six_writers_without_locks_tear_no_line(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(map(encode_line, BEGIN)))
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    writers = [subprocess.Popen([*command, str(number)], env=env) for number in range(6)]
    assert [writer.wait(60) for writer in writers] == [0] * 6
    events, damaged = read_events(path)
    assert damaged == 0
    assert len(events) == len(BEGIN) + 6 * 40
