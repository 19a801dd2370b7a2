# SPDX-License-Identifier: Apache-2.0
"""From MQTT to the spool: check, keep durably, acknowledge, and ask for what is missing."""
