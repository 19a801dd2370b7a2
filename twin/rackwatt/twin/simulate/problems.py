# SPDX-License-Identifier: Apache-2.0
"""What stands in the way of a simulation, in words for whoever asked for it."""


class SimulationProblem(Exception):  # noqa: N818 - the user's, not ours
    """What was asked for cannot be simulated as it stands: exit code 2."""


class SimulationFailed(Exception):  # noqa: N818 - a state, with its own exit code
    """The work began and could not be finished: exit code 1."""
