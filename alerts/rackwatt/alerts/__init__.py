# SPDX-License-Identifier: Apache-2.0
"""Rules for Prometheus as code: who is called, for what, and what to do then."""
