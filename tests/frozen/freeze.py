"""Freezes the template backend as a wheel for the present protocol; done once for each version.

    python tests/frozen/freeze.py

Frozen wheels are never made again: they are the third parties' backends that a later core must
keep working. tests/packaging/test_template.py installs each of them and trains with it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "packaging/hostile"))

from wheels import wheel_of_project

from rushlight.backend import API_VERSION

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Writes the wheel beside this program."""
    # A build tag begins with a digit.
    tag = ".".join(map(str, API_VERSION)) + "protocol"
    folder = Path(__file__).parent
    if found := list(folder.glob(f"*-{tag}-*.whl")):
        sys.exit(f"{found[0].name} is there already")
    print(wheel_of_project(ROOT / "examples/backend-template", folder, tag=tag))


if __name__ == "__main__":
    main()
