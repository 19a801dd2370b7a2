# SPDX-License-Identifier: Apache-2.0
"""Agents at the edge: read devices, send what they read."""
