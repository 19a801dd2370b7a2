# SPDX-License-Identifier: Apache-2.0
"""Why an MQTT connection ended, in words."""

from typing import Final

from aiomqtt import MqttCodeError
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import MQTT_ERR_CONN_LOST

_UNSPECIFIED: Final = 0x80
"""MQTT 3.1.1 gives no reason; the client library then puts this one."""


def reason(error: BaseException) -> str:
    """What to say of an error of the client library, or of a group of them: the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    error = error.__cause__ or error
    if isinstance(error, MqttCodeError) and not isinstance(error, MqttConnectError):
        code = getattr(error.rc, "value", error.rc)
        if code in (_UNSPECIFIED, MQTT_ERR_CONN_LOST):
            return "the broker ended the connection"
    return str(error)
