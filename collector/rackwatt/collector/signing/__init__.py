# SPDX-License-Identifier: Apache-2.0
"""Signatures under documents that others read: Ed25519 over canonical JSON (RFC 8785)."""
