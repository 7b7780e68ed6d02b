"""The official conformance suite against our client: all that each revision of the protocol requires of one, sign-in included."""

import asyncio
import re
from pathlib import Path

import node_house
import pytest
import yaml
from conformance_driver import Driver
from nightly import all_but

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
REQUIRED = {"2025-11-25": 18, "2026-07-28": 32}
BACKCOMPAT = {"auth/2025-03-26-oauth-metadata-backcompat", "auth/2025-03-26-oauth-endpoint-fallback"}


async def passed(*arguments: str, folder: Path) -> tuple[set[str], str]:
    """The scenarios that passed every check, and all that was said."""
    program = node_house.package(SUITE) / "dist/index.js"
    async with Driver() as driver:
        suite = await asyncio.create_subprocess_exec(
            node_house.node(), program, "client", "--command", driver.command, *arguments, "-o", folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await suite.communicate())[0].decode()
    return set(re.findall(r"^✓ (\S+): \d+ passed, 0 failed$", said, re.MULTILINE)), f"{said}\n{driver.failures}"


@pytest.mark.parametrize("revision", all_but(["2026-07-28"], REQUIRED))
async def test_what_a_revision_requires(revision: str, tmp_path: Path) -> None:
    found, said = await passed("--requirements", revision, "--timeout", "60000", folder=tmp_path)
    listed = yaml.safe_load((node_house.package(SUITE) / f"requirements/{revision}.yaml").read_text())
    required = set(listed["client"])
    assert len(required) == REQUIRED[revision]
    assert required - found == set(), said


async def test_servers_of_the_first_sign_ins(tmp_path: Path) -> None:
    found, said = await passed("--suite", "backcompat", "--timeout", "60000", folder=tmp_path)
    assert found == BACKCOMPAT, said
