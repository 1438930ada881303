"""`rushlight.utils`; the nn distribution adds `rushlight.utils.data`."""

from pathlib import Path

# In an editable install nn's part of this folder lies elsewhere; wheels share one folder, and then
# nothing may be added, or a folder named `rushlight` in the working directory would join.
if not (Path(__file__).parent / "data").is_dir():
    from pkgutil import extend_path

    __path__ = extend_path(__path__, __name__)
