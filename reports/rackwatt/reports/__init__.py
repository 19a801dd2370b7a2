# SPDX-License-Identifier: Apache-2.0
"""The monthly report that someone signs: figures, files, proof, and printed pages."""
