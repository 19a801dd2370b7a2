# SPDX-License-Identifier: Apache-2.0
"""NetBox as the source of a site file: halls, racks, devices, feeds and tenants."""
