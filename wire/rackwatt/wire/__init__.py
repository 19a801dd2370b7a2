# SPDX-License-Identifier: Apache-2.0
"""What crosses the wire, and how it gets across.

The contract between agents and collector: readings and their units (`readings`), topics
(`topics`), the two-step codec (`codec`), the agents' status, inventory and replay messages
(`status`, `inventory`, `replay`), the durable queue (`queue`, `outbox`) and the MQTT session
(`session`). It knows neither agents nor collector.
"""
