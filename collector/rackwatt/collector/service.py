# SPDX-License-Identifier: Apache-2.0
"""What every long-running command shares: stopping cleanly, and serving HTTP beside its work."""

import asyncio
import contextlib
import hmac
import logging
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request

from rackwatt.collector.access import Access, Guard, warn_of_exposure
from rackwatt.collector.connections import HEADER_BYTES, counting, forget_the_deaf
from rackwatt.collector.headers import SecurityHeaders
from rackwatt.collector.refusals import Refusals
from rackwatt.wire.lifeline import parent_gone, supervised

_log = logging.getLogger(__name__)


def configure_logging(*, verbose: bool) -> None:
    """One format for all processes, on standard error."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # A line for each request that is no HTTP would let anybody fill the disk.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    for noisy in ("uvicorn.access", "httpx", "httpcore", "mqtt", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


async def run_until_stopped(work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` until it ends, SIGINT or SIGTERM comes, or the supervisor is gone.

    Raises:
        BaseExceptionGroup: what `work` raised.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Ctrl-C reaches the whole process group: under a supervisor, that one says when to stop.
    loop.add_signal_handler(signal.SIGINT, stop.set if not supervised() else lambda: None)
    async with asyncio.TaskGroup() as tasks:
        worker = tasks.create_task(_then_stop(work, stop), name="work")
        lifeline = tasks.create_task(_stop_when_orphaned(stop), name="lifeline")
        await stop.wait()
        worker.cancel()
        lifeline.cancel()


async def _then_stop(work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    try:
        await work()
    finally:
        stop.set()


async def _stop_when_orphaned(stop: asyncio.Event) -> None:
    await parent_gone()
    _log.info("the supervisor is gone: stopping")
    stop.set()


class _Server(uvicorn.Server):
    """A server that leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


async def serve_http(
    app: Starlette,
    host: str,
    port: int,
    on_stop: Callable[[], None] = lambda: None,
    access: Access | None = None,
    refusals: Refusals | None = None,
) -> None:
    """Serve `app` until cancelled; what is still open a second later is cut.

    Args:
        app: the application.
        host: address to listen on.
        port: port to listen on.
        on_stop: called first when it is time to stop: ends open streams.
        access: who may read; None: everybody who reaches the address.
        refusals: where what is refused is counted.

    Raises:
        OSError: the address is taken, or the certificate or its key cannot be used.
    """
    access, refusals = access or Access(), refusals or Refusals()
    context = server_context(access)
    warn_of_exposure(host, port, access)
    with contextlib.closing(_listen(host, port)) as listener:
        config = uvicorn.Config(
            SecurityHeaders(Guard(app, access, host, refusals)),
            http=counting(refusals),
            ws="none",
            h11_max_incomplete_event_size=HEADER_BYTES,
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            timeout_graceful_shutdown=1,
            lifespan="off",
        )
        config.load()
        config.ssl = context
        server = _Server(config)
        task = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            on_stop()
            server.should_exit = True
            await task
            raise


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    forget_the_deaf(listener)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {reason}") from error
    return listener


def server_context(access: Access) -> ssl.SSLContext | None:
    """TLS 1.2 or later with the certificate of `access`; None: it has none.

    Raises:
        OSError: a file cannot be read, or certificate and key do not belong together.
    """
    if access.certificate_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(access.certificate_file, access.key_file)
    return context


def authorised(request: Request, token: str) -> bool:
    """Whether a request carries `Authorization: Bearer <token>`."""
    given = request.headers.get("authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
