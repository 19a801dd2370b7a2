# SPDX-License-Identifier: Apache-2.0
"""Energy and carbon accounting: pure functions and small states.

No clock, no network, no database: what goes in decides what comes out, so any figure can be
recomputed years later. Energies are in Wh, powers in W, carbon masses in g CO2e, intensities in
g/kWh. ``None`` means unknown and is never read as 0. Sums are :func:`math.fsum`, which rounds
once, so the order in which readings arrived cannot show in a figure.

The way of an energy: :mod:`channels` says which field of which meter feeds which flow,
:mod:`registers` and :mod:`power` read them, :mod:`metering` makes energies of intervals,
:mod:`interval` books one interval: :mod:`balance` closes each bus, :mod:`tracing` follows what
ties carry from bus to bus (:mod:`sharing` is its case of one bus), :mod:`battery` and
:mod:`factors` trace what is stored and what it emits. :mod:`residual` and :mod:`uncertainty` judge
it by the meters, :mod:`claims` stand beside it, :mod:`period` forms figures over many.
"""
