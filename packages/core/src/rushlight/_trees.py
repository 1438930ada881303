"""Nested Python structures of tensors: flattening and rebuilding."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any


def children(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]] | None:
    """The parts of a container and the way to build it again; None for a leaf."""
    cls = type(tree)
    if cls in (list, tuple):
        return list(tree), cls
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return list(tree), lambda parts: cls(*parts)
    if cls in (dict, OrderedDict):
        keys = list(tree)
        return [tree[k] for k in keys], lambda parts: cls(zip(keys, parts, strict=True))
    if cls is defaultdict:
        keys = list(tree)
        factory = tree.default_factory
        return [tree[k] for k in keys], lambda p: defaultdict(factory, zip(keys, p, strict=True))
    return None


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """All leaves in order, and a function that builds the structure around others.

    Example:
        >>> leaves, rebuild = flatten({"a": 1, "b": [2, 3]})
        >>> rebuild([10 * leaf for leaf in leaves])
        {'a': 10, 'b': [20, 30]}
    """
    parts = children(tree)
    if parts is None:
        return [tree], lambda leaves: leaves[0]
    flat = [flatten(part) for part in parts[0]]
    leaves = [leaf for part, _ in flat for leaf in part]

    def rebuild(values: list[Any]) -> Any:
        built, start = [], 0
        for part, build in flat:
            built.append(build(values[start : start + len(part)]))
            start += len(part)
        return parts[1](built)

    return leaves, rebuild


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The structure with a function applied to its leaves (and those of like structures)."""
    leaves, rebuild = flatten(tree)
    columns = [flatten(other)[0] for other in others]
    return rebuild([function(*row) for row in zip(leaves, *columns, strict=True)])


def broadcast_prefix(prefix: Any, tree: Any, is_leaf: Callable[[Any], bool]) -> list[Any]:
    """One item per leaf of `tree`, where a leaf of `prefix` stands for a whole subtree.

    Raises:
        ValueError: The prefix has another structure.
    """
    if is_leaf(prefix):
        return [prefix] * len(flatten(tree)[0])
    above, below = children(prefix), children(tree)
    if above is None or below is None or len(above[0]) != len(below[0]):
        raise ValueError("the structures differ")
    return [
        item
        for p, t in zip(above[0], below[0], strict=True)
        for item in broadcast_prefix(p, t, is_leaf)
    ]
