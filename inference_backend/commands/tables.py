"""The tables of `inspect`."""

from typing import Any

from rich.console import Console
from rich.table import Table

from inference_backend.commands.output import size
from inference_backend.gpus import Machine
from inference_backend.plan import BATCH_CONTEXT, SPLIT, Plan, Share, Sizes
from inference_backend.tensors import KINDS


def show(facts: dict[str, Any], sizes: Sizes, plan: Plan | None, machine: Machine, *, with_layers: bool) -> None:
    """Prints `facts` for people, to standard output."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    files = facts["files"]
    console.print(
        f"{facts['folder']}: weights {facts['weights']}" + (f", {files} file{'s' * (files > 1)}" if files else "")
    )
    if facts["skipped_tensors"]:
        console.print(f"{facts['skipped_tensors']} tensors are not needed (vision, multi-token prediction)")
    console.print(_shares(sizes))
    schemes = ", ".join(f"{name} {size(stored)}" for name, stored in sizes.schemes.items())
    console.print(f"Tensors: {sizes.tensors:,}. Stored as {schemes}.")
    longest = facts["max_position_embeddings"]
    console.print(
        f"Cache: {sizes.kv_per_token:,} B per token, {size(longest * sizes.kv_per_token)} for a context of {longest:,} tokens."
    )
    if with_layers:
        console.print(_layers(sizes))
    if plan is not None:
        _plan(console, plan)
        return
    need, have = sizes.total.stored, machine.memory
    console.print(
        f"This machine: {size(have)} of main memory, no GPU. "
        + (f"The weights leave {size(have - need)}." if need < have else f"The weights need {size(need - have)} more.")
    )


def _shares(sizes: Sizes) -> Table:
    table = Table("", *("parameters", "bytes", "read per token"), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, share in sizes.kinds.items():
        table.add_row(KINDS[kind], *_numbers(share))
    table.add_row("all", *_numbers(sizes.total), style="bold")
    return table


def _numbers(share: Share) -> tuple[str, str, str]:
    return f"{share.parameters:,}", size(share.stored), size(share.read)


def _layers(sizes: Sizes) -> Table:
    table = Table("layer", *("parameters", "bytes", "read per token"), box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for number, share in enumerate(sizes.layers):
        table.add_row(str(number), *_numbers(share))
    return table


def _plan(console: Console, plan: Plan) -> None:
    console.print(f"\nOn {plan.count} x {plan.gpu.name} ({size(plan.gpu.memory)} each):")
    rows = [("weights per GPU", size(plan.weights))]
    if plan.fits:
        rows += [
            ("left for the cache, per GPU", size(plan.room)),
            ("tokens of cache, the same on every GPU", f"{plan.tokens:,}"),
            (f"tokens of cache, split by context ({SPLIT})", f"{plan.tokens_sharded:,}"),
        ]
    else:
        rows.append(("missing per GPU", size(-plan.room)))
    if plan.seconds_per_token:
        rows.append(("tokens/s at most, one sequence", f"{1 / plan.seconds_per_token:,.0f}"))
    for context, (same, split) in plan.seconds_at.items():
        rows.append((f"... with {context:,} tokens cached", f"{1 / same:,.0f} ({1 / split:,.0f} split by context)"))
    for batch, pace in plan.batches.items():
        if batch > 1:
            rows.append((f"... of {batch} sequences together, {BATCH_CONTEXT:,} tokens each", f"{pace:,.0f}"))
    rows.append(("GPUs of these that serve takes by itself", f"{plan.ranks} ({plan.ranks_split} split by context)"))
    rows.append(("such GPUs that one full context needs", str(plan.least_count or "more than heads")))
    table = Table("", "", box=None, pad_edge=False, show_header=False)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for note in plan.notes:
        console.print(note)
