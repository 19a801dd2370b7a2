# SPDX-License-Identifier: Apache-2.0
"""`rackwatt maintenance`, `shift`, `ack` and `handover`: one module each."""
