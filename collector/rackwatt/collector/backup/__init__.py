# SPDX-License-Identifier: Apache-2.0
"""Backup and restore: the books and what is on its way to them, in one file that proves itself."""
