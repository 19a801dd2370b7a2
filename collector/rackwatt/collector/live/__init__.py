# SPDX-License-Identifier: Apache-2.0
"""What is true now: live figures, metrics and the page."""
