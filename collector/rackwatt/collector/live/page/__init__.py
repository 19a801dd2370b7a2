# SPDX-License-Identifier: Apache-2.0
"""The live page: operators' view and public wall, in English, French and Arabic.

The server renders the first HTML with the current figures; the browser then follows
``/events`` and writes each new frame into the same places by the same rules. Use it so::

    page = LivePage(history=history_of_the_last_hour)
    app = Starlette(routes=[*routes(page)], middleware=[Middleware(SecurityHeaders)])
    page.publish(frame)  # each second, from the event loop
    page.close()  # before the server shuts down: ends the open event streams
"""

from rackwatt.collector.live.page.live_page import (
    Broadcaster,
    LivePage,
    PageSource,
    TooManyListenersError,
)
from rackwatt.collector.live.page.render import Renderer
from rackwatt.collector.live.page.routes import routes
from rackwatt.collector.live.page.security import SecurityHeaders

__all__ = [
    "Broadcaster",
    "LivePage",
    "PageSource",
    "Renderer",
    "SecurityHeaders",
    "TooManyListenersError",
    "routes",
]
