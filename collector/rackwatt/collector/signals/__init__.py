# SPDX-License-Identifier: Apache-2.0
"""Signals: what alerts need to know beside the figures, looked at every few seconds."""
