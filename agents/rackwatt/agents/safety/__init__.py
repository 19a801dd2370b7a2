# SPDX-License-Identifier: Apache-2.0
"""What must not wait: rules that are watched in the agent, and told straight to Alertmanager.

`engine` and what it is made of (`rules`, `latch`, `baseline`, `limits`) are pure; `courier` and
`post` tell; `book` remembers; `watch` puts them together for the agent's loop.
"""
