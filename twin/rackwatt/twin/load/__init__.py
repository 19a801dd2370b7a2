# SPDX-License-Identifier: Apache-2.0
"""A whole campus as its messages, over real MQTT connections: what a collector must stand."""
