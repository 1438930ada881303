"""Builds the native kernels: one set of C sources, compiled once for each generation of CPUs.

Every variant is optional: where there is no compiler, or it fails, the package installs without
it and computes on NumPy.  `RUSHLIGHT_CPU_BUILD` limits what is built: names of variants separated
by commas, or `none`.
"""

from __future__ import annotations

import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NATIVE = Path("src/rushlight_cpu/native")
X86 = platform.machine().lower() in ("x86_64", "amd64") and sys.maxsize > 2**32
# Not -ffast-math: NaN, infinities and -0 must survive.
FLAGS = (
    "-std=gnu11 -O3 -fno-math-errno -fno-trapping-math -fopenmp-simd -fvisibility=hidden -Wall"
).split()
# The flags need not match a CPU's name: they are the features that the loader asks for.
VARIANTS = {
    "baseline": [],
    "avx2": "-mavx2 -mfma -mf16c -mbmi2".split(),
    "avx512": (
        "-mavx2 -mfma -mf16c -mbmi2 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx512cd"
        " -mprefer-vector-width=512"
    ).split(),
}


def wanted() -> list[str]:
    """The variants to build."""
    asked = os.environ.get("RUSHLIGHT_CPU_BUILD", "").replace(" ", "")
    if sys.platform == "win32" or asked == "none":  # the sources want GCC's vectors and pthreads
        return []
    possible = list(VARIANTS) if X86 else ["baseline"]
    names = asked.split(",") if asked else possible
    unknown = sorted({*names} - {*VARIANTS})
    if unknown:
        raise SystemExit(
            f"RUSHLIGHT_CPU_BUILD: unknown variant {', '.join(unknown)};"
            f" known are {', '.join(VARIANTS)} and none"
        )
    return [name for name in names if name in possible]


def extensions() -> list[Extension]:
    names = wanted()
    if not names:
        return []
    try:
        import numpy
    except ImportError as raised:
        print(f"rushlight-cpu: no native kernels: {raised}", file=sys.stderr)
        return []
    return [
        Extension(
            f"rushlight_cpu._native_{name}",
            sources=sorted(path.as_posix() for path in NATIVE.glob("*.c")),
            depends=sorted(path.as_posix() for path in NATIVE.glob("*.h")),
            include_dirs=[numpy.get_include(), NATIVE.as_posix()],
            define_macros=[
                ("RL_MODULE", f"_native_{name}"),
                ("RL_VARIANT", f'"{name}"'),
                ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
            ],
            extra_compile_args=FLAGS + VARIANTS[name],
            libraries=[] if sys.platform == "darwin" else ["pthread", "dl", "m"],
            optional=True,
        )
        for name in names
    ]


class BuildInParallel(build_ext):
    """Compiles the files of an extension side by side, and only those that changed."""

    def build_extensions(self) -> None:
        compiler = self.compiler
        if compiler.compiler_type == "unix":
            compiler.compile = self._compile_all  # type: ignore[method-assign]
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        # Objects of each variant in a folder of their own: the sources are the same.
        everywhere, self.build_temp = self.build_temp, os.path.join(self.build_temp, ext.name)
        try:
            super().build_extension(ext)
        finally:
            self.build_temp = everywhere

    def _compile_all(
        self,
        sources,
        output_dir=None,
        macros=None,
        include_dirs=None,
        debug=False,
        extra_preargs=None,
        extra_postargs=None,
        depends=None,
    ):  # type: ignore[no-untyped-def]
        compiler = self.compiler
        macros, objects, postargs, pp_opts, build = compiler._setup_compile(
            output_dir, macros, include_dirs, sources, depends, extra_postargs
        )
        arguments = compiler._get_cc_args(pp_opts, debug, extra_preargs)
        headers = max((os.path.getmtime(path) for path in depends or ()), default=0.0)

        def one(item: tuple[str, tuple[str, str]]) -> None:
            target, (source, suffix) = item
            newest = max(headers, os.path.getmtime(source), os.path.getmtime(__file__))
            if not os.path.exists(target) or os.path.getmtime(target) < newest:
                compiler._compile(target, source, suffix, arguments, postargs, pp_opts)

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(one, build.items()))
        return objects


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildInParallel})
