"""Plain text tables, as the ledger, the preflight and the report print them."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, right: str = "") -> str:
    """Rows of text in aligned columns.

    Args:
        header: Names of the columns.
        rows: Their contents.
        right: Names of the columns whose text stands at the right, separated by commas.

    Example:
        >>> from rushlight.backend._tables import table
        >>> print(table(["operator", "calls"], [["add", 12], ["matmul", 3]], right="calls"))
        operator  calls
        add          12
        matmul        3
    """
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    at_right = [name in right.split(",") for name in header]
    lines = [
        "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, at_right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


def bytes_text(count: int) -> str:
    """A number of bytes for people.

    Example:
        >>> from rushlight.backend._tables import bytes_text
        >>> bytes_text(1536)
        '1.5 KiB'
    """
    if count < 1024:
        return f"{count} B"
    size, unit = count / 1024, 0
    while size >= 1024 and unit < 3:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[unit]}"
