# SPDX-License-Identifier: Apache-2.0
"""What was promised in public beside what is measured: on the page, as signed JSON, as CSV."""
