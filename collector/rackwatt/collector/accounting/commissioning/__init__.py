# SPDX-License-Identifier: Apache-2.0
"""Whether a meter that was just wired measures what it should: pure checks on what it says."""
