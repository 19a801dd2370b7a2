# SPDX-License-Identifier: Apache-2.0
"""The dashboards: one module each, with its `BOARD`; its texts are in `texts/KEY.yaml`."""
