"""Which beginnings of sequences have their latents in blocks already: a radix tree with one block per edge. Stdlib only.

Tokens are compared themselves, not by hashes, so that no two prefixes are ever taken for one another.
"""

from collections.abc import Iterator, Sequence

from inference_backend.engine.blocks import BlockPool


class Node:
    """The block that follows its parent's. With fewer tokens than a block holds it is a partial one, and has no children."""

    __slots__ = ("alive", "block", "children", "parent", "tokens")

    def __init__(self, parent: "Node | None", tokens: tuple[int, ...], block: int) -> None:
        self.parent, self.tokens, self.block = parent, tokens, block
        self.children: dict[tuple[int, ...], Node] = {}
        self.alive = True


class PrefixCache:
    """The tree, and the allocation of blocks: what it holds and nobody uses makes room for what is needed.

    Blocks in the tree are never written to: whoever goes on inside one gets a copy (copy-on-write).
    """

    def __init__(self, pool: BlockPool, block_tokens: int) -> None:
        self.pool, self.block_tokens = pool, block_tokens
        self.root = Node(None, (), -1)
        self._node_of: dict[int, Node] = {}

    def __len__(self) -> int:
        return len(self._node_of)

    @property
    def available(self) -> int:
        """Blocks that `take` can give."""
        return self.pool.free + self.pool.cached

    def take(self, after: int | None, wanted: int = 1) -> int | None:
        """A block with one reference, see BlockPool.take; None where all are in use."""
        if not self.pool.free:
            if not self.pool.cached:
                return None
            self._drop(self._node_of[self.pool.oldest()])
        return self.pool.take(after, wanted)

    def next_full(self, node: Node, tokens: Sequence[int], start: int) -> Node | None:
        """The node below `node` that holds exactly tokens[start : start + block_tokens]."""
        return node.children.get(tuple(tokens[start : start + self.block_tokens])) if node.children else None

    def walk(self, tokens: Sequence[int]) -> Iterator[Node]:
        """The nodes of the longest known prefix of `tokens`, full blocks only."""
        node = self.root
        for start in range(0, len(tokens) - self.block_tokens + 1, self.block_tokens):
            found = self.next_full(node, tokens, start)
            if found is None:
                return
            yield found
            node = found

    def best_part(self, node: Node, tokens: Sequence[int], start: int, most: int) -> tuple[Node, int] | None:
        """The node below `node` that shares most of tokens[start:], `most` at most, and how many; None where none shares any."""
        best, length = None, 0
        for key, child in node.children.items():
            if key[0] != tokens[start]:
                continue
            end = min(len(key), most, len(tokens) - start)
            same = 1
            while same < end and key[same] == tokens[start + same]:
                same += 1
            if same > length and end:
                best, length = child, same
        return (best, length) if best is not None else None

    def insert(self, parent: Node, tokens: Sequence[int], block: int) -> Node:
        """Makes `block`, which is used and holds the latents of `tokens`, known below `parent`.

        Where these tokens are known there already, that node is returned and `block` stays unknown.
        """
        assert parent.alive
        assert 0 < len(tokens) <= self.block_tokens
        key = tuple(tokens)
        known = parent.children.get(key)
        if known is not None:
            return known
        node = parent.children[key] = Node(parent, key, block)
        self._node_of[block] = node
        self.pool.keep(block)
        return node

    def clear(self) -> None:
        """Forgets everything."""
        for node in list(self.root.children.values()):
            self._drop(node)

    def _drop(self, node: Node) -> None:
        """Forgets a node and all below it, which could not be reached any more."""
        if node.parent is not None:
            del node.parent.children[node.tokens]
        stack = [node]
        while stack:
            gone = stack.pop()
            gone.alive = False
            stack.extend(gone.children.values())
            gone.children.clear()
            gone.parent = None
            del self._node_of[gone.block]
            self.pool.forget(gone.block)
