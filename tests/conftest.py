# SPDX-License-Identifier: Apache-2.0
"""What all tests share: real servers, started when a test asks for one."""

pytest_plugins = ["servers.fixtures"]
