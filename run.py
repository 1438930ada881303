"""Runs a nox session on a machine that has nothing but Python: `python3 run.py tests`.

Makes a virtual environment in `.nox/launcher`, installs nox into it and hands over; the system's
Python is left as it is. Arguments after the session's name go to the session, as in
`python3 run.py demo --seed 3`.
Only the standard library is used, and only syntax that an outdated Python can still read, so that
it can say what it needs.
"""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".nox", "launcher")
PYTHON = os.path.join(VENV, *(["Scripts", "python.exe"] if os.name == "nt" else ["bin", "python"]))
USAGE = "usage: python3 run.py SESSION [ARGUMENTS...]\n"


def succeeds(command):
    return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def has_nox():
    """Whether the launcher works: it may be missing, half made, or its Python uninstalled."""
    return os.path.exists(PYTHON) and succeeds([PYTHON, "-c", "import nox"])


def make_environment():
    """Creates the environment and installs nox into it; leaves with a message if that fails."""
    sys.stderr.write("run.py: preparing .nox/launcher (first run only)\n")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", VENV]) != 0:
        sys.exit(
            "run.py: this Python cannot create virtual environments."
            " On Debian and Ubuntu: apt install python3-venv"
        )
    if subprocess.call([PYTHON, "-m", "pip", "install", "--quiet", "nox>=2024.10.9"]) != 0:
        sys.exit("run.py: pip could not install nox; its message stands above.")


def main(arguments):
    if sys.version_info < (3, 11):
        sys.exit("run.py: Rushlight needs Python 3.11 or newer; this is " + sys.version.split()[0])
    if not has_nox():
        make_environment()
    nox = [PYTHON, "-m", "nox", "--noxfile", os.path.join(ROOT, "noxfile.py")]
    if not arguments:
        sys.stderr.write(USAGE)
        return subprocess.call([*nox, "--list"]) or 2
    return subprocess.call([*nox, "--session", arguments[0], "--", *arguments[1:]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
