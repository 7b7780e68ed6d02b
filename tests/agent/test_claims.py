"""What is a claim and what is none: a table of sentences."""

import pytest

from kimi_agent.agent.claims import claims, says_it_ran

CLAIMS = [
    ("All tests pass.", "test"),
    ("The tests pass now.", "test"),
    ("I fixed the bug and all 12 tests pass.", "test"),
    ("12 passed in 0.3s", "test"),
    ("`pytest -q` passes: 12 passed.", "test"),
    ("Tests: all passing ✅", "test"),
    ("- ✅ Tests pass", "test"),
    ("The test suite is green again.", "test"),
    ("The build succeeds.", "build"),
    ("The project builds cleanly and lint is clean.", "build,lint"),
    ("It compiles without errors.", "build"),
    ("ruff and mypy are clean.", "lint,types"),
    ("Tests, lint and types all pass.", "test,lint,types"),
    ("I verified that the tests pass.", "test"),
    ("After the fix, all tests pass.", "test"),
    ("The code passes all tests.", "test"),
    ("`ruff check .` reports no issues", "lint"),
    ("mypy: no issues, tests: 40 passed, 0 failed", "test"),
    ("All checks pass.", "check"),
    ("The script now runs without errors.", "run"),
    ("所有测试均通过。", "test"),
    ("测试全部通过，构建成功。", "test,build"),
    ("我运行了测试，全部 12 个测试通过。", "test"),
    ("类型检查没有错误。", "types"),
    ("代码已通过所有单元测试", "test"),
    ("脚本运行正常。", "run"),
    ("This should fix the issue, and all tests pass.", "test"),
    ("Fixed. Tests pass, but I did not run the linter.", "test"),
    ("The build works again.", "build"),
    ("**All tests pass**", "test"),
    ("Everything compiles and the tests are passing.", "build,test"),
    ("Type checking passes with no errors.", "types"),
    ("The unit tests and the integration tests passed.", "test"),
    ("Ran `npm test`: 3 tests passed.", "test"),
    ("Lint is clean.", "lint"),
    ("Compilation succeeded.", "build"),
    ("| tests | pass |", "test"),
    ("I tested it and the program runs fine.", "run"),
    ("Test results: 5/5 passed", "test"),
    ("The linter is happy.", "lint"),
    ("`cargo test` and `cargo clippy` both pass.", "test,lint"),
    ("The change doesn't affect the API; all tests pass.", "test"),
    ("The existing tests still pass.", "test"),
    ("Everything is fixed. `make test` passes.", "test"),
    ("eslint and tsc report no errors, and `npm test` passes (31 tests).", "types,lint,test"),
    ("I've verified that everything works.", "run"),
    ("The full test suite passes: 214 passed, 3 skipped.", "test"),
    ("lint、类型检查和测试都已通过。", "test,types,lint"),
    ("编译通过，没有警告。", "build"),
    ("Done – the tests pass and the build succeeds.", "test,build"),
]
TALK = [
    "The tests should pass now.",
    "Run the tests to see whether they pass.",
    "If the tests pass, merge it.",
    "The tests fail.",
    "Do the tests pass?",
    "```\nAll tests pass\n```",
    "> All tests pass",
    'You said "all tests pass".',
    "Make sure all tests pass.",
    "Please verify that the tests pass.",
    "I could not run the tests.",
    "Not all tests pass.",
    "The tests don't pass.",
    "Some tests pass.",
    "All tests pass except test_foo.",
    "The tests pass a mock to the function.",
    "Once the tests pass, deploy.",
    "The tests will pass after this change.",
    "A test passes when no exception is raised.",
    "The tests passed before my change.",
    "CI ensures that tests pass.",
    "I changed the code so that the tests pass.",
    "To make the tests pass, edit foo.",
    "Let me check that the tests pass.",
    "You can run `pytest` to check.",
    "The README says the tests pass.",
    "Unit tests are important.",
    "如果测试通过，就可以合并。",
    "测试应该会通过。",
    "请确保测试通过。",
    "测试未通过。",
    "测试没有通过。",
    "测试通过了吗？",
    "需要运行测试。",
    "The build failed.",
    "The build should succeed.",
    "It builds a tree of nodes.",
    "The parser runs over the tokens.",
    "3 tests passed, 2 failed.",
    "Next: get the tests to pass.",
    "Use a linter to keep code clean.",
    "The test passes the file to the parser.",
    "Clean build folders with `make clean`.",
    "I believe the tests pass.",
    "None of the tests pass.",
    "Tests that pass are skipped.",
    "A green build is a build in which all tests pass... for example.",
    "You need to make the tests pass.",
    "Without the fix, no tests pass.",
    "The password check passes the hash along.",
    "I have not verified that tests pass.",
    "为了让测试通过，我修改了代码。",
    "The goal is that all tests pass.",
    "Whether lint is clean depends on the config.",
    "CI runs lint and tests on each push.",
    "Hello!",
    "The file has no errors handling.",
    "We could make the build pass by pinning it.",
    "pytest collects tests by name.",
    "The function checks that the value is clean.",
    "There are no issues with your plan.",
    "Only the first test passes.",
    "I'd expect the tests to pass.",
    "The tests pass only if the server runs.",
    "What happens when the tests pass?",
    "I haven't run the tests, so I can't say that they pass.",
    "Write a test that passes.",
    "The tests cover the parser; the fixture passes the config to them.",
    "A linter such as ruff keeps the code clean and consistent.",
    "Add a step to CI that runs the tests.",
    "The deploy starts when the build succeeds.",
    "如何让测试通过？",
    "当测试失败时，构建会停止。",
    "单元测试应当快速、独立。",
    "It was green before the refactoring: all tests passed then.",
    "All tests passed previously.",
    "1 failed, 11 passed",
    "I expect that lint is clean.",
    "The types are defined in `types.py`.",
    "Build the project with `make`.",
    "The build takes two minutes.",
    "- [ ] all tests pass: todo",
]


@pytest.mark.parametrize(("sentence", "claimed"), CLAIMS)
def test_a_claim(sentence: str, claimed: str) -> None:
    assert sorted(claims(sentence)) == sorted(claimed.split(","))
    assert sorted(claims(f"I changed two files.\n\n- {sentence}\n\nAnything else?")) == sorted(claimed.split(","))


@pytest.mark.parametrize("sentence", TALK)
def test_talk_is_no_claim(sentence: str) -> None:
    assert claims(sentence) == []


@pytest.mark.parametrize("sentence", [sentence for sentence, _ in CLAIMS])
def test_quoted_and_fenced_it_is_no_claim(sentence: str) -> None:
    assert claims(f"Look:\n```text\n{sentence}\n```\n> {sentence}\n") == []


def test_a_long_answer_is_read_quickly() -> None:
    assert claims("the tests, the build, lint and `a " * 20_000) == []
    assert claims("All tests pass. " * 5_000) == ["test"]


def test_who_ran_it() -> None:
    assert says_it_ran("I ran the tests.")
    assert says_it_ran("我已经运行了测试。")
    assert not says_it_ran("Run the tests.")
