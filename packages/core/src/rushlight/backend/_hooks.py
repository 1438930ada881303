"""The hooks that pluggy holds plugins to; imported with the first plugin, as pluggy takes time."""

from __future__ import annotations

import pluggy

from ._protocol import Backend

hookspec = pluggy.HookspecMarker("rushlight")
hookimpl = pluggy.HookimplMarker("rushlight")


class BackendHooks:
    """The hooks that a plugin may implement."""

    @hookspec
    def rushlight_backend(self) -> Backend:  # type: ignore[empty-body]
        """Returns the backend."""


manager = pluggy.PluginManager("rushlight")
manager.add_hookspecs(BackendHooks)
