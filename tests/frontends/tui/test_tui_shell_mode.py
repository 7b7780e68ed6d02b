"""Ctrl-X: the person's own commands, real processes."""

from pathlib import Path

from tui_house import gone, house, screen_text, seen, shell, until, write


async def run(app, pilot, command: str) -> None:
    await write(app, pilot, command)
    await pilot.press("enter")


async def test_commands_run_in_a_folder_that_cd_changes(tmp_path: Path) -> None:
    home = house(tmp_path)
    (tmp_path / "work" / "sub").mkdir()
    async with shell(home.agent) as (app, pilot):
        await pilot.press("ctrl+x")
        await seen(app, pilot, "$")
        await run(app, pilot, "echo one && cd sub")
        await until(pilot, lambda: app.shell.cwd == tmp_path / "work" / "sub")
        await run(app, pilot, "echo in=${PWD##*/}; exit 3")
        await seen(app, pilot, "in=sub")
        await seen(app, pilot, "exit 3")
        await until(pilot, lambda: not app.shell.running)
        await pilot.press("ctrl+x")
        await gone(app, pilot, "\n shell ")
        assert home.provider.requests == []
        assert len(app.talk.session.events()) == 1  # nothing joins the history


async def test_output_is_live_and_ctrl_c_stops_it(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await pilot.press("ctrl+x")
        # one process says that it runs: an interrupt between bash's fork and exec is lost, in any terminal
        python = """python3 -c 'import time; print("be" + "gun", flush=True); time.sleep(100)'"""
        await run(app, pilot, f"{python}; echo never")
        await seen(app, pilot, "begun")
        await seen(app, pilot, "Ctrl-C stop")
        await pilot.press("ctrl+c")
        await until(pilot, lambda: not app.shell.running)
        await seen(app, pilot, "interrupted")
        assert "never" not in screen_text(app).replace("echo never", "")


async def test_a_command_that_ignores_ctrl_c_dies_at_the_second(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await pilot.press("ctrl+x")
        await run(app, pilot, "trap '' INT; echo deaf; sleep 100")
        await seen(app, pilot, "\n   deaf")
        await pilot.press("ctrl+c", "ctrl+c")
        await until(pilot, lambda: not app.shell.running)


async def test_a_background_child_does_not_block(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await pilot.press("ctrl+x")
        await run(app, pilot, "sleep 5 & echo started")
        await seen(app, pilot, "\n   started")
        await until(pilot, lambda: not app.shell.running)


async def test_long_output_is_folded_to_its_end_and_unfolds(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await pilot.press("ctrl+x")
        await run(app, pilot, "seq 1 500")
        await until(pilot, lambda: not app.shell.running)
        await seen(app, pilot, "500")
        await pilot.press("ctrl+home")
        await seen(app, pilot, "earlier lines")
        await pilot.press("ctrl+e", "ctrl+home")
        await seen(app, pilot, "\n   1 ")


async def test_leaving_kills_what_runs(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await pilot.press("ctrl+x")
        await run(app, pilot, "echo $$ > pid; sleep 100")
        await until(pilot, lambda: (tmp_path / "work" / "pid").exists())
        app.leave()
        await until(pilot, lambda: not app.shell.running)


async def test_tab_completes_as_the_shell_would(tmp_path: Path) -> None:
    home = house(tmp_path)
    (tmp_path / "work" / "one file.txt").write_text("found it")
    (tmp_path / "work" / "two.a").touch()
    (tmp_path / "work" / "two.b").touch()
    async with shell(home.agent) as (app, pilot):
        await pilot.press("ctrl+x")
        await write(app, pilot, "cat on")
        await pilot.press("tab")
        await until(pilot, lambda: app.composer.text == "cat one\\ file.txt ")
        await pilot.press("enter")
        await seen(app, pilot, "found it")
        await until(pilot, lambda: not app.shell.running)
        await write(app, pilot, "ls tw")
        await pilot.press("tab")
        await until(pilot, lambda: app.composer.popup.is_open)
        assert app.composer.text == "ls two."
        await pilot.press("down", "enter")
        assert app.composer.text == "ls two.b "
        await pilot.press("ctrl+x")
        app.composer.put("!cat on")
        await pilot.press("tab")
        await until(pilot, lambda: app.composer.text == "!cat one\\ file.txt ")
