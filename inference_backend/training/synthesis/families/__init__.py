"""The table of task families. A new one is a function in a file of this folder, a line here, and its phrasings."""

from collections.abc import Callable, Mapping

from inference_backend.training.synthesis.deeds import Deed, Place, task_of
from inference_backend.training.synthesis.draw import Draw
from inference_backend.training.synthesis.families import (
    coding,
    combined,
    counting,
    editing,
    history,
    looking,
    moving,
    running,
    talking,
    trouble,
    web,
)
from inference_backend.training.synthesis.task import Task

Family = Callable[[Draw], Task]


def _alone(make: Callable[..., Deed], *, clutter: bool = True) -> Family:
    """The family of tasks that are one deed."""

    def family(draw: Draw) -> Task:
        place = Place(draw)
        return task_of(draw, place, make(draw, place), clutter=clutter)

    return family


FAMILIES: Mapping[str, Family] = {
    "list_folder": looking.list_folder,
    "find_files": looking.find_files,
    "read_file": looking.read_file,
    "read_answer": looking.read_answer,
    "search_answer": looking.search_answer,
    "create_file": _alone(editing.create_file),
    "create_lines": _alone(editing.create_lines),
    "append_line": _alone(editing.append_line),
    "replace_word": _alone(editing.replace_word),
    "edit_value": _alone(editing.edit_value),
    "insert_line": _alone(editing.insert_line),
    "remove_line": _alone(editing.remove_line),
    "rename_file": _alone(moving.rename_file),
    "move_file": _alone(moving.move_file),
    "copy_file": _alone(moving.copy_file),
    "make_folder": _alone(moving.make_folder),
    "delete_file": moving.delete_file,
    "count_lines": _alone(counting.count_lines),
    "count_words": _alone(counting.count_words),
    "count_files": _alone(counting.count_files),
    "count_matches": _alone(counting.count_matches),
    "run_script": _alone(running.run_script),
    "write_script": _alone(running.write_script),
    "run_tests": _alone(running.run_tests),
    "fix_bug": _alone(coding.fix_bug),
    "add_function": _alone(coding.add_function),
    "git_status": _alone(history.git_status, clutter=False),
    "git_diff": _alone(history.git_diff, clutter=False),
    "git_commit": _alone(history.git_commit, clutter=False),
    "git_log": _alone(history.git_log, clutter=False),
    "fetch_answer": web.fetch_answer,
    "fetch_save": web.fetch_save,
    "fetch_missing": web.fetch_missing,
    "missing_file": trouble.missing_file,
    "missing_script": trouble.missing_script,
    "missing_source": trouble.missing_source,
    "failing_script": trouble.failing_script,
    "blocked": trouble.blocked,
    "denied": trouble.denied,
    "orders_in_file": trouble.orders_in_file,
    "refuse_outside": talking.refuse_outside,
    "refuse_keys": talking.refuse_keys,
    "refuse_gates": talking.refuse_gates,
    "refuse_beyond": talking.refuse_beyond,
    "small_talk": talking.small_talk,
    "few_steps": combined.few_steps,
    "many_steps": combined.many_steps,
    "conversation": combined.conversation,
    "create_many": combined.create_many,
    "append_all": combined.append_all,
    "rename_all": combined.rename_all,
    "replace_all": combined.replace_all,
}
HEAVY: Mapping[str, int] = {
    "few_steps": 14, "conversation": 10, "many_steps": 9, "create_many": 5, "append_all": 5, "rename_all": 5, "replace_all": 6,
    "small_talk": 7, "delete_file": 6, "read_file": 5, "move_file": 5, "remove_line": 5, "insert_line": 5, "edit_value": 5,
    "fix_bug": 5, "refuse_beyond": 5, "refuse_keys": 3, "refuse_gates": 3, "denied": 3, "git_log": 3, "fetch_missing": 2,
    "missing_script": 3, "missing_source": 3, "failing_script": 3, "run_tests": 3, "make_folder": 3, "find_files": 3,
    "count_files": 3,
}  # fmt: skip
"""How many times a family comes up in a round, where that is not four times."""
WEIGHTS: Mapping[str, int] = {name: HEAVY.get(name, 4) for name in FAMILIES}
