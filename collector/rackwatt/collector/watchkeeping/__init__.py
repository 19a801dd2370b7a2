# SPDX-License-Identifier: Apache-2.0
"""What people on watch say and hand over: maintenance, acknowledgements, the log of a shift."""
