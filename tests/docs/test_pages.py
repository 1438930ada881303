"""The examples in README and docs, run page by page."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A process of its own for each page: pages define operators and register backends.
RUN = """
import doctest, sys
import rushlight
rushlight.manual_seed(0)
flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
failed, _ = doctest.testfile(sys.argv[1], module_relative=False, optionflags=flags)
sys.exit(bool(failed))
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_examples_of_page_hold(page):
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(page)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
