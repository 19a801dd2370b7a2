# SPDX-License-Identifier: Apache-2.0
"""`rackwatt`: everything but the edge. Exit codes: 0 done, 1 failed, 2 bad input or usage."""

import errno
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Final

import typer

from rackwatt.collector.groups import Groups
from rackwatt.collector.helptext import NARROW, more
from rackwatt.collector.roles.arguments import (
    broker_settings,
    free_address,
    http_url,
    known_halls,
    optional_broker,
    signing_key,
    usable_authority,
    web_access,
    writable_folder,
)
from rackwatt.collector.roles.options import (
    BrokerCaFile,
    BrokerCertificateFile,
    BrokerKeyFile,
    BrokerPasswordFile,
    BrokerUser,
    Host,
    InfluxBucket,
    InfluxCaFile,
    InfluxOrg,
    InfluxRollups,
    InfluxTokenFile,
    InfluxUrl,
    InternalTokenFile,
    SignKeyFile,
    SiteFile,
    Verbose,
    WebCertificateFile,
    WebKeyFile,
    WebNames,
    WebTokenFile,
    influx_options,
    store_of,
)
from rackwatt.collector.roles.running import internal_token, plain_errors, run, seconds_of
from rackwatt.collector.roles.up import DEFAULT_SCENARIO, UpOptions, up
from rackwatt.collector.service import configure_logging
from rackwatt.collector.store.open import DEFAULT_ORG, RAW_BUCKET, ROLLUPS_BUCKET
from rackwatt.wire.clock import SYSTEM_CLOCK

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The place that output goes to takes no more."""

app = typer.Typer(
    name="rackwatt",
    cls=Groups,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=NARROW,
    help=(
        "Follows every watt-hour of a data center from its source to the GPU.\n\n"
        "\b\n"
        "Begin with:\n"
        "  rackwatt up                  a simulated site, live at http://127.0.0.1:8400/\n"
        "  rackwatt site check FILE     your own site's description\n"
        "  rackwatt-agent probe FILE    your own meters, read once\n\n"
        "'rackwatt COMMAND --help' has examples."
    ),
    epilog=more(failed="a check or the work failed; the message says why"),
)


@app.command(
    "up",
    epilog=more(
        "rackwatt up",
        "rackwatt up --port 8500 --data /tmp/try --for 90s",
        "rackwatt up --scenario tetouan",
        "rackwatt up --site site.yaml --agent meters.yaml --broker mqtt://127.0.0.1:1883",
        done="stopped: by Ctrl-C, SIGTERM or --for",
        failed="the folder is in use by another 'rackwatt up', or a disk failed",
    ),
)
def up_command(
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for all state; continued next time.")
    ] = Path("data"),
    port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="Port of page and metrics.")
    ] = 8400,
    host: Host = "127.0.0.1",
    broker: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An MQTT broker; default: an embedded one."),
    ] = None,
    broker_user: BrokerUser = None,
    broker_password_file: BrokerPasswordFile = None,
    broker_ca_file: BrokerCaFile = None,
    broker_certificate_file: BrokerCertificateFile = None,
    broker_key_file: BrokerKeyFile = None,
    site: Annotated[
        Path | None,
        typer.Option("--site", metavar="FILE", help="A real site's file; default: a simulation."),
    ] = None,
    agents: Annotated[
        list[Path] | None,
        typer.Option("--agent", metavar="FILE", help="A real site's agent file; repeatable."),
    ] = None,
    scenario: Annotated[
        str,
        typer.Option(metavar="NAME", help="What to simulate: default, tetouan, or a YAML file."),
    ] = DEFAULT_SCENARIO,
    alertmanagers: Annotated[
        list[str] | None,
        typer.Option(
            "--alertmanager", metavar="URL", help="What the simulation's safety rules tell."
        ),
    ] = None,
    influx: InfluxUrl = None,
    influx_org: InfluxOrg = DEFAULT_ORG,
    influx_bucket: InfluxBucket = RAW_BUCKET,
    influx_rollups_bucket: InfluxRollups = ROLLUPS_BUCKET,
    influx_token_file: InfluxTokenFile = None,
    influx_ca_file: InfluxCaFile = None,
    web_token_file: WebTokenFile = None,
    web_certificate_file: WebCertificateFile = None,
    web_key_file: WebKeyFile = None,
    web_names: WebNames = None,
    sign_key_file: SignKeyFile = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Stop after 90s, 10min, 2h …")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Start everything on this machine and serve the page.

    Broker, twin or your own agents, collector and accountant, each a process of its own.
    Without options it simulates a site of 16 racks and 128 GPUs, read by real agents over real
    Modbus, SNMP and MQTT, beside this machine's own readings. Ctrl-C stops it; the next start
    continues where this one ended.
    """
    configure_logging(verbose=verbose)
    with plain_errors():
        signing_key("--sign-key-file", sign_key_file)
        options = UpOptions(
            data=data,
            host=host,
            port=port,
            broker=optional_broker(
                broker,
                broker_user,
                broker_password_file,
                broker_ca_file,
                broker_certificate_file,
                broker_key_file,
            ),
            site_file=site,
            agent_files=[path.resolve() for path in agents or []],
            scenario=scenario,
            alertmanagers=alertmanagers or (),
            influx=influx_options(
                influx, influx_org, influx_rollups_bucket, influx_token_file, influx_ca_file
            ),
            influx_bucket=influx_bucket,
            access=web_access(web_token_file, web_certificate_file, web_key_file, web_names or ()),
            web_files={
                "--web-token-file": web_token_file,
                "--web-certificate-file": web_certificate_file,
                "--web-key-file": web_key_file,
                "--sign-key-file": sign_key_file,
            },
            seconds=None if duration is None else seconds_of(duration, "--for"),
        )
    run(lambda: up(options, SYSTEM_CLOCK, typer.echo))


@app.command(
    "collect",
    epilog=more(
        "rackwatt collect --site site.yaml --broker mqtt://broker:1883 --data /var/lib/rackwatt",
        "rackwatt collect --site site.yaml --broker mqtt://broker:1883 --data DIR --hall hall-a",
        "rackwatt collect --site site.yaml --broker mqtt://broker:1883 --data DIR --retire",
        done="stopped, or retired: all is stored and booked",
    ),
)
def collect_command(
    site: SiteFile,
    broker: Annotated[str, typer.Option(metavar="URL", help="mqtt://host:1883 or mqtts://…")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder for spool and embedded store.")],
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="Port of metrics and spool.")
    ] = 8401,
    halls: Annotated[
        list[str] | None,
        typer.Option("--hall", metavar="ID", help="Only this hall; repeatable; default: all."),
    ] = None,
    backfill: Annotated[
        str,
        typer.Option(metavar="TIME", help="Ask new agents for the past: none, all, 2h …"),
    ] = "none",
    broker_user: BrokerUser = None,
    broker_password_file: BrokerPasswordFile = None,
    broker_ca_file: BrokerCaFile = None,
    broker_certificate_file: BrokerCertificateFile = None,
    broker_key_file: BrokerKeyFile = None,
    accountant: Annotated[
        bool, typer.Option(help="Keep messages until an accountant has booked them.")
    ] = True,
    retire: Annotated[
        bool,
        typer.Option("--retire", help="Take nothing more, hand on what is there, and end."),
    ] = False,
    internal_token_file: InternalTokenFile = None,
    influx: InfluxUrl = None,
    influx_org: InfluxOrg = DEFAULT_ORG,
    influx_bucket: InfluxBucket = RAW_BUCKET,
    influx_rollups_bucket: InfluxRollups = ROLLUPS_BUCKET,
    influx_token_file: InfluxTokenFile = None,
    influx_ca_file: InfluxCaFile = None,
    web_token_file: WebTokenFile = None,
    web_certificate_file: WebCertificateFile = None,
    web_key_file: WebKeyFile = None,
    web_names: WebNames = None,
    verbose: Verbose = False,
) -> None:
    """Take readings from MQTT: keep, acknowledge, store.

    It checks them, acknowledges what is on its disk, and asks agents again for what is missing.
    Needs RACKWATT_INTERNAL_TOKEN, a secret of at least 16 characters that the accountant shares.
    'rackwatt up' starts this by itself; start it apart on a machine or in a container of its own.
    """
    from rackwatt.collector.roles.collect import CollectOptions, collect
    from rackwatt.collector.site import load_site
    from rackwatt.collector.store.read import READINGS

    configure_logging(verbose=verbose)
    with plain_errors():
        loaded = load_site(site)
        known_halls(loaded, halls or [])
        buckets = (influx_bucket, influx_rollups_bucket)
        store = store_of(
            data / READINGS, influx, influx_org, buckets, influx_token_file, influx_ca_file
        )
        past = {"none": 0.0, "all": None}
        options = CollectOptions(
            broker=broker_settings(
                broker,
                broker_user,
                broker_password_file,
                broker_ca_file,
                broker_certificate_file,
                broker_key_file,
            ),
            data=data,
            host=host,
            port=port,
            token=internal_token(internal_token_file),
            halls=tuple(halls) if halls else None,
            backfill_seconds=(
                past[backfill] if backfill in past else seconds_of(backfill, "--backfill")
            ),
            with_accountant=accountant,
            retire=retire,
            access=web_access(web_token_file, web_certificate_file, web_key_file, web_names or ()),
        )
        free_address(host, port)
        writable_folder("--data", data)
    run(lambda: collect(loaded, store, options, SYSTEM_CLOCK))


@app.command(
    "account",
    epilog=more(
        "rackwatt account --site site.yaml --data /var/lib/rackwatt --collector http://host:8401",
        "rackwatt account --site site.yaml --data DIR --collector URL1 --collector URL2",
        done="stopped",
    ),
)
def account_command(
    site: SiteFile,
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for ledger.db and its embedded copy.")
    ],
    collectors: Annotated[
        list[str],
        typer.Option("--collector", metavar="URL", help="http://host:8401; repeatable."),
    ],
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="Port of page and metrics.")
    ] = 8400,
    collector_ca_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CA of the collectors' certificates, for https://."),
    ] = None,
    with_collector_metrics: Annotated[
        bool,
        typer.Option(
            "--with-collector-metrics", help="Serve the collectors' metrics on /metrics as well."
        ),
    ] = False,
    internal_token_file: InternalTokenFile = None,
    influx: InfluxUrl = None,
    influx_org: InfluxOrg = DEFAULT_ORG,
    influx_rollups_bucket: InfluxRollups = ROLLUPS_BUCKET,
    influx_token_file: InfluxTokenFile = None,
    influx_ca_file: InfluxCaFile = None,
    web_token_file: WebTokenFile = None,
    web_certificate_file: WebCertificateFile = None,
    web_key_file: WebKeyFile = None,
    web_names: WebNames = None,
    sign_key_file: SignKeyFile = None,
    verbose: Verbose = False,
) -> None:
    """Keep the books: ledger, figures, metrics and page.

    It reads the collectors' spools over HTTP, writes ledger.db, and copies it into the store.
    Needs RACKWATT_INTERNAL_TOKEN, the secret that the collectors have. Run one per site.
    """
    from rackwatt.collector.roles.account import AccountOptions, account
    from rackwatt.collector.site import load_site
    from rackwatt.collector.store.read import BOOKS

    configure_logging(verbose=verbose)
    with plain_errors():
        loaded = load_site(site)
        bucket = (influx_rollups_bucket, influx_rollups_bucket)
        store = store_of(
            data / BOOKS, influx, influx_org, bucket, influx_token_file, influx_ca_file
        )
        usable_authority("--collector-ca-file", collector_ca_file)
        options = AccountOptions(
            collectors=tuple(http_url("--collector", url) for url in collectors),
            data=data,
            host=host,
            port=port,
            token=internal_token(internal_token_file),
            with_collector_metrics=with_collector_metrics,
            collector_ca_file=collector_ca_file,
            access=web_access(web_token_file, web_certificate_file, web_key_file, web_names or ()),
            sign_key=signing_key("--sign-key-file", sign_key_file),
        )
        free_address(host, port)
        writable_folder("--data", data)
    run(lambda: account(loaded, store, options, SYSTEM_CLOCK))


def main() -> None:
    """The program."""
    if sys.platform == "win32":
        typer.echo("rackwatt runs on Linux and macOS", err=True)
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows ASCII only gets "?"
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where it can be answered for, and not at the very end
    except OSError as error:
        # What was printed does not all stand where it was to go; nothing more will.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno not in _FULL | {errno.EPIPE}:
            raise
        if error.errno != errno.EPIPE:
            sys.stderr.write(f"rackwatt: cannot be written: {error.strerror}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
