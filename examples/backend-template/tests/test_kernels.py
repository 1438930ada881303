"""Rushlight's conformance suite, on what the device has; `xfails.txt` lists what it lacks.

The whole of it, crashes and hangs too: `python -m rushlight.testing template`.
"""

from rushlight.testing import conformance


def test_the_device_conforms() -> None:
    card = conformance.run("template", level=2)
    told = [f"{result.case.id}: {result.reason}" for result in card.bad()]
    assert card.ok, "\n".join([card.text(), *card.problems, *told])
