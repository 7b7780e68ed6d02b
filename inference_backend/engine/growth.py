"""How an answer grows in one step: from rows of logits to tokens, under its constraint and its guesses, to its end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference_backend.engine.constraint import Constraint
from inference_backend.engine.request import FinishReason, Request, TokenLogprob
from inference_backend.engine.sampler import NONE, Row
from inference_backend.engine.scheduler import Work

Mask: TypeAlias = NDArray[Any] | None


@dataclass(slots=True)
class Growth:
    """What one step adds to one request."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    reason: FinishReason | None = None
    error: str = ""


class Writer:
    """`ends`: the tokens with which the model ends an answer."""

    def __init__(self, ends: frozenset[int], vocab_size: int) -> None:
        self._ends, self._vocab_size = ends, vocab_size
        self.forced_tokens = 0

    def rows(self, work: Work) -> list[Row]:
        """Where each row of logits of this work comes from; none where its tokens go on. Cuts the draft where the constraint
        does not allow it. A constraint that fails allows nothing."""
        if not work.is_last:
            return []
        request, params = work.request, work.request.params
        masks: Sequence[Mask] | None = None
        if request.constraint is not None:
            try:
                work.draft, masks = self._walk(request.constraint, work.draft)
            except Exception:
                work.draft, masks = [], [np.zeros(self._vocab_size, bool)]
        rows = []
        for ahead in range(1 + len(work.draft)):
            row = Row(params, request.seed, len(request.tokens) + ahead)
            if masks is not None or params.has_penalties:
                mask = masks[ahead] if masks is not None else None
                output = [*request.output, *work.draft[:ahead]] if params.has_penalties else ()
                row = Row(params, row.seed, row.position, mask, request.prompt, output)
            rows.append(row)
        return rows

    def _walk(self, constraint: Constraint, draft: Sequence[int]) -> tuple[list[int], list[Mask]]:
        """As much of the draft as is allowed, and the mask before each of its tokens and after the last. Changes nothing."""
        kept: list[int] = []
        masks: list[Mask] = [self._mask(constraint)]
        for token in draft:
            mask = masks[-1]
            if constraint.is_done or (mask is not None and not mask[token]):
                break
            constraint.accept(token)
            kept.append(token)
            masks.append(None if constraint.is_done else self._mask(constraint))
        constraint.rollback(len(kept))
        return kept, masks

    def _mask(self, constraint: Constraint) -> Mask:
        """One flag for each of the model's tokens: what the tokenizer does not know is not allowed."""
        mask = constraint.allowed()
        if mask is None or len(mask) == self._vocab_size:
            return mask
        known = min(len(mask), self._vocab_size)
        return np.concatenate([mask[:known], np.zeros(self._vocab_size - known, bool)])

    def grow(self, work: Work, tokens: Sequence[int], logprobs: Sequence[TokenLogprob | None], growth: Growth) -> None:
        """Tokens in order, each from the row that follows the ones before it, until they leave the draft."""
        draft, new = list(work.draft), growth.tokens
        while growth.reason is None and len(new) <= len(draft) and new == draft[: len(new)]:
            row = len(new)
            if tokens[row] == NONE:
                growth.reason = "error"
                growth.error = "no token can follow: the grammar allows none, or the model gave no numbers"
                return
            self._guarded(work.request, growth, [tokens[row]], logprobs[row])
            self.force(work.request, growth)

    def force(self, request: Request, growth: Growth) -> None:
        """What must come next is not sampled: it follows at once, and is computed in one chunk with the next step."""
        if request.constraint is not None and growth.reason is None:
            before = len(growth.tokens)
            self._guarded(request, growth, None, TokenLogprob(0.0))
            self.forced_tokens += len(growth.tokens) - before

    def _guarded(
        self, request: Request, growth: Growth, tokens: Sequence[int] | None, logprob: TokenLogprob | None
    ) -> None:
        """Appends `tokens`, or what the constraint forces; an error of the constraint ends this request alone."""
        try:
            if tokens is None:
                assert request.constraint is not None
                tokens = list(request.constraint.forced())
            for token in tokens:
                if growth.reason is None:
                    self._append(request, growth, token, logprob)
        except Exception as error:
            growth.reason, growth.error = "error", f"the grammar failed: {str(error)[:200] or type(error).__name__}"

    def _append(self, request: Request, growth: Growth, token: int, logprob: TokenLogprob | None) -> None:
        growth.tokens.append(token)
        if request.params.logprobs is not None and logprob is not None:
            growth.logprobs.append(logprob)
        ends = token in request.params.stop_tokens or (token in self._ends and not request.params.ignore_end)
        if not ends and request.constraint is not None:
            request.constraint.accept(token)
            ends = request.constraint.is_done
        if ends:
            growth.reason = "stop"
        elif len(request.tokens) + len(growth.tokens) >= request.limit:
            growth.reason = "length"
