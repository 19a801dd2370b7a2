# SPDX-License-Identifier: Apache-2.0
"""Meters as things: their states, their commissioning, their calibrations."""
