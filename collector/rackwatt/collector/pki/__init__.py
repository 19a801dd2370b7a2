# SPDX-License-Identifier: Apache-2.0
"""Certificates and broker rules for sites that have no PKI of their own."""
