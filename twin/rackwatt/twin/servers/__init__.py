# SPDX-License-Identifier: Apache-2.0
"""The site's devices on real sockets: Modbus TCP and SNMP, on loopback only."""
