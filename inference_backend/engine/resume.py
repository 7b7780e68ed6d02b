"""Between the cache in memory and the snapshots on disk, a few blocks at a time, so that running requests hardly wait."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from inference_backend.engine.prefix import Node
from inference_backend.engine.request import Request
from inference_backend.engine.runner import Runner
from inference_backend.engine.scheduler import Scheduler
from inference_backend.engine.sessions import Session
from inference_backend.engine.snapshots import SnapshotStore
from inference_backend.errors import CheckpointError

AT_ONCE = 4
"""Blocks that are read or written between two steps, and threads that do it."""
AHEAD = 4 * AT_ONCE
"""Blocks that are in memory on their way from or to the disk."""


class Resumption:
    """Saves sessions and brings prefixes back, by generators of which the engine takes a step between its own."""

    def __init__(
        self, store: SnapshotStore, runner: Runner, scheduler: Scheduler, say: Callable[[str], None] = lambda text: None
    ) -> None:
        self.store, self._runner, self._scheduler, self._say = store, runner, scheduler, say
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="snapshot")
        self.saved_blocks = self.restored_blocks = 0

    def close(self) -> None:
        """Waits for what is being written."""
        self._threads.shutdown(wait=True)

    def save(self, session: Session) -> Generator[None, None, int]:
        """Writes what the disk lacks of a pinned session; returns how many blocks that were.

        The last ones first, so that what is given up first when there is no room is the end. The blocks are held from now on.
        """
        for block in session.blocks:
            self._scheduler.pool.retain(block)
        return self._save(session)

    def _save(self, session: Session) -> Generator[None, None, int]:
        pool, size, parent = self._scheduler.pool, self._scheduler.block_tokens, self.store.root
        chain: list[tuple[bytes, list[int]]] = []
        for start in range(0, len(session.tokens), size):
            chain.append((parent, list(session.tokens[start : start + size])))
            parent = self.store.after(*chain[-1])
        writes: deque[Future[bool]] = deque()
        written = 0
        try:
            for (before, tokens), block in reversed(list(zip(chain, session.blocks, strict=True))):
                is_part = len(tokens) < size
                if is_part or not self.store.has(before, tokens):
                    data = self._runner.read_block(block)
                    writes.append(self._threads.submit(self.store.save, before, tokens, data, part=is_part))
                    if len(writes) % AT_ONCE == 0:
                        yield
                while len(writes) >= AHEAD and not writes[0].done():
                    yield
                while writes and writes[0].done():
                    written += writes.popleft().result()
        finally:
            pool.release(reversed(session.blocks))
        while writes:
            if writes[0].done():
                written += writes.popleft().result()
            else:
                yield
        self.store.touch(chain)
        self.saved_blocks += written
        return written

    def restore(self, request: Request) -> Generator[None, None, int]:
        """Makes the blocks of the request's prompt that are on disk, and not in memory, known to the cache; returns how many."""
        cache, size, tokens = self._scheduler.cache, self._scheduler.block_tokens, list(request.prompt)
        node, held, parent, chain, restored = cache.root, [], self.store.root, [], 0
        for known in cache.walk(tokens[:-1]):
            cache.pool.retain(known.block)
            held.append(known.block)
            chain.append((parent, list(known.tokens)))
            node, parent = known, self.store.after(parent, known.tokens)
        try:
            for parent_of, piece, data in self._loaded(parent, tokens[len(held) * size : -1]):
                added = self._put(node, piece, data, held)
                if added is None:
                    break
                chain.append((parent_of, piece))
                node, parent = added, self.store.after(parent_of, piece)
                restored += 1
                if restored % AT_ONCE == 0:
                    yield
            restored += self._put_part(node, parent, tokens[len(held) * size : -1], held)
        finally:
            cache.pool.release(reversed(held))
        if restored:
            self.store.touch(chain)
        self.restored_blocks += restored
        return restored

    def _loaded(self, parent: bytes, tokens: list[int]) -> Iterator[tuple[bytes, list[int], bytes]]:
        """Full blocks as they come from the disk, some ahead of their use: (block before, tokens, data)."""
        size, start = self._scheduler.block_tokens, 0
        ahead: deque[tuple[bytes, list[int], Future[bytes | None]]] = deque()
        while True:
            while len(ahead) < AHEAD and start + size <= len(tokens):
                piece = tokens[start : start + size]
                if not self.store.has(parent, piece):
                    break
                ahead.append((parent, piece, self._threads.submit(self.store.load, parent, piece)))
                parent, start = self.store.after(parent, piece), start + size
            if not ahead:
                return
            before, piece, future = ahead.popleft()
            data = future.result()
            if data is None:
                return
            yield before, piece, data

    def _put_part(self, node: Node, parent: bytes, tokens: list[int], held: list[int]) -> int:
        """The end of the last sequence that came by here, where the prompt goes on alike."""
        found = self.store.load_part(parent) if tokens else None
        if found is None or not 0 < len(found[0]) < self._scheduler.block_tokens:
            return 0
        if found[0][0] != tokens[0] or tuple(found[0]) in node.children:
            return 0
        return self._put(node, found[0], found[1], held) is not None

    def _put(self, node: Node, piece: list[int], data: bytes, held: list[int]) -> Node | None:
        cache = self._scheduler.cache
        block = cache.take(held[-1] if held else None)
        if block is None:
            return None
        try:
            self._runner.write_block(block, data)
        except CheckpointError as error:
            self._say(f"a snapshot is ignored: {error}")
            cache.pool.release([block])
            return None
        if not node.alive:  # given up for this very block
            cache.pool.release([block])
            return None
        added = cache.insert(node, piece, block)
        if added.block != block:  # a request computed the same meanwhile: its block is held in place of ours
            cache.pool.retain(added.block)
            cache.pool.release([block])
        held.append(added.block)
        return added
