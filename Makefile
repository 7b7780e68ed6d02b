# Two commands on a fresh machine: `make run` starts kimi, `make test` passes the tests. Needs python3 >= 3.11 with venv and pip.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ARGS ?=
TINY ?= build/tiny
TRAIN = $(BIN)/python -m inference_backend train $(TINY)/data --processes 2 --threads 1
SMOKE ?= build/smoke
SMOKE_FAMILIES = small_talk,make_folder,list_folder,create_file,rename_file,count_lines,replace_word,read_answer
PYTEST_ARGS ?=
# the tests start Python some thousand times: it compiles once, whatever the machine says
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test nightly check check-types check-style check-imports check-house format bench bench-engine tiny reinforce-tiny eval-tiny smoke-tiny docs demo clean

run: $(VENV)/.installed
	@$(BIN)/kimi $(ARGS)

# tests that fail run once more, by themselves: what passes then has a race of its own, and is still a defect to mend
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS) || { test $$? = 1 && $(BIN)/python -m pytest -vv --last-failed --last-failed-no-failures none $(PYTEST_ARGS); }

# what takes too long for every change, and more of what is tried at random: docs/reliability.md says what that is
nightly: $(VENV)/.installed-dev
	KIMI_REWIND_SEEDS=1000 KIMI_EVERY_NTH_CALL=1 KIMI_FUZZ=100000 KIMI_FUZZ_SEED=$$(date +%j) $(BIN)/python -m pytest -n auto --timeout 3600 tests/trust $(PYTEST_ARGS)
	KIMI_EVERY_NTH_CALL=1 $(BIN)/python -m pytest -n auto -m nightly $(PYTEST_ARGS)
	KIMI_COLD=1 $(BIN)/python -m pytest -n auto --hypothesis-profile nightly $(PYTEST_ARGS)

# several at once with `make --jobs 2 check`; that of the types takes by far the longest
check: check-types check-style check-imports check-house

check-types: $(VENV)/.installed-dev
	$(BIN)/mypy

check-style: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

check-imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports --no-cache

check-house: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -p no:cacheprovider tests/test_architecture.py tests/test_import_time.py

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.installed-dev
	$(BIN)/python bench/run.py
	$(BIN)/python bench/screens.py
	$(BIN)/python bench/rewind.py
	$(BIN)/python bench/rules.py
	$(BIN)/python bench/box.py
	$(BIN)/python bench/servers.py
	$(BIN)/python bench/acp.py

bench-engine: $(VENV)/.installed-dev
	$(BIN)/python bench/engine.py
	$(BIN)/python bench/engine_scheduler.py
	$(BIN)/python bench/engine_kernels.py

# the embedded model from nothing, in as many pieces as needed: ARGS="--minutes 40" stops after that long, and again goes on.
# A run begins with what the one before has come to, as soon as that is whole.
tiny: $(VENV)/.installed-dev
	$(BIN)/python -m inference_backend synthesise $(TINY)/data --jobs 2
	$(TRAIN) $(TINY)/first --to $(TINY)/begun $(ARGS)
	[ ! -d $(TINY)/begun ] || $(TRAIN) $(TINY)/second --recipe tiny-on --from $(TINY)/begun --to $(TINY)/again $(ARGS)
	[ ! -d $(TINY)/again ] || $(TRAIN) $(TINY)/run --recipe tiny-last --from $(TINY)/again --to inference_backend/tiny $(ARGS)

# what `make tiny` made, reinforced by the tasks it solves; copied into the package only if it solves more held-out ones than before
reinforce-tiny: $(VENV)/.installed-dev
	$(BIN)/python -m inference_backend reinforce $(TINY)/run $(TINY)/reinforced --to inference_backend/tiny $(ARGS)

# held-out tasks, everyday requests and attacks through `kimi -p`, with the model in the package: ARGS="--tasks 480 --model FOLDER"
eval-tiny: $(VENV)/.installed-dev
	$(BIN)/python bench/tiny.py $(ARGS)

# all of it in three minutes of CPU: data, training, INT4 checkpoint, server, tasks that it has learnt done through `kimi -p`
smoke-tiny: $(VENV)/.installed-dev
	rm -rf $(SMOKE)
	$(BIN)/python -m inference_backend synthesise $(SMOKE)/data --episodes 160 --held-out 32 --families $(SMOKE_FAMILIES)
	$(BIN)/python -m inference_backend train $(SMOKE)/data $(SMOKE)/run --recipe smoke --steps 2000 --threads 1
	$(BIN)/python bench/tiny.py --model $(SMOKE)/run/checkpoint --dataset $(SMOKE)/data --trained --tasks 48 --everyday 0 --attacks 0 --least 0.9

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/generate.py

demo: $(VENV)/.installed-dev
	$(BIN)/python docs/demo.py

# .installed-dev implies .installed: the extras add to the same environment. The pip of an older Python takes three times as long.
# Of the 20,000 files of the extras, most are never imported: those that are compile themselves, once.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25'
	$(PIP) --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25'
	$(PIP) --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
