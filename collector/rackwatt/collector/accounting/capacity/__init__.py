# SPDX-License-Identifier: Apache-2.0
"""What feeds what, how much of it is used, what is left, and what fails with it.

:mod:`chain` is the graph of assets and of the edges that feed them; :mod:`loads` puts measured
currents on its edges; :mod:`failover` says what an edge carries when the other side is gone,
:mod:`room` what more may be sold, :mod:`losses` what transformers and lines take,
:mod:`redundancy` how many of a group may fail, :mod:`ride_through` how long a rack lives
without coolant. No clock, no I/O; ``None`` is unknown and never 0.
"""
