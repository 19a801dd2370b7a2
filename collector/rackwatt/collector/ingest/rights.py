# SPDX-License-Identifier: Apache-2.0
"""Which devices an agent may report by its name: a GPU node's agent its own node's, and no other.

A GPU node runs what its users start. Whoever breaks out there has the key of its agent, and with
it could be the first to report a meter of the site. So the agents of a node are held to `{node}`
and `{node}/…`, and nobody else may report these. Its agents are those named after it: `{node}`,
and with `host`, `gpu` or `nvml` before or behind its name, since a node may have one of each.
"""

from collections.abc import Callable
from typing import Final

_WORDS: Final = ("host", "gpu", "nvml")


class Rights:
    """Who may report what, as far as names tell.

    Args:
        is_node: whether a name is a GPU node of the site file.
    """

    def __init__(self, is_node: Callable[[str], bool] = lambda _: False) -> None:
        self._is_node = is_node

    def node_of(self, agent: str) -> str | None:
        """The node whose agent it is; None: it is a field agent."""
        if self._is_node(agent):
            return agent
        for word in _WORDS:
            for rest in (agent.removeprefix(f"{word}-"), agent.removesuffix(f"-{word}")):
                if rest != agent and self._is_node(rest):
                    return rest
        return None

    def refusal(self, agent: str, device: str) -> str | None:
        """Why an agent may not report a device; None: it may."""
        if device == agent:
            return None  # what it has to say of itself
        own, head = self.node_of(agent), device.partition("/")[0]
        if own is not None and head != own:
            return f"not for an agent of node {own!r} to report"
        if own is None and self._is_node(head):
            return f"for the agents of node {head!r} to report"
        return None
