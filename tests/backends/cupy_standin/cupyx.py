"""`cupyx`: whether linear algebra raises."""

from collections.abc import Iterator
from contextlib import contextmanager

STATE = {"linalg": "ignore"}


@contextmanager
def errstate(*, linalg: str) -> Iterator[None]:
    before, STATE["linalg"] = STATE["linalg"], linalg
    try:
        yield
    finally:
        STATE["linalg"] = before
