# SPDX-License-Identifier: Apache-2.0
"""A load: the messages of the whole reference campus, over real MQTT connections.

:mod:`campus` says who sends what and writes the site file, :mod:`payloads` makes each message from
its agent and its number alone, so that any of them can be sent again and be compared later,
:mod:`player` sends them. Unlike the rest of the twin there is no physics here, no device and no
outbox: many agents share a connection.
"""
