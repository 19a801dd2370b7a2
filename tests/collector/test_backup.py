# SPDX-License-Identifier: Apache-2.0
"""A backup holds what was there, proves itself, and comes back as it was or not at all."""

import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from collector.books import BEGIN, HOUR, MINUTE, hour_of
from collector.command_books import call, two_hours
from typer.testing import CliRunner, Result

from rackwatt.collector.backup.archive import BackupError, Entry, place_of
from rackwatt.collector.backup.commands import backup_app, restore_app
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.ledger.reading import LedgerReader
from rackwatt.collector.site import load_site


def backup(*arguments: object) -> Result:
    return CliRunner().invoke(backup_app, [str(one) for one in arguments])


def restore(*arguments: object) -> Result:
    return CliRunner().invoke(restore_app, [str(one) for one in arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    two_hours(folder)
    (folder / "anchors.txt").write_text("")
    return folder


@pytest.fixture
def archive(data: Path, tmp_path: Path) -> Path:
    out = tmp_path / "b.tar.gz"
    done = backup("--data", data, "--out", out)
    assert done.exit_code == 0, done.output
    return out


def head(ledger: Path) -> tuple[int, str]:
    with closing(LedgerReader(ledger)) as books:
        return books.head_seq(), books.head()


def test_the_books_come_back_and_are_proved(data: Path, archive: Path, tmp_path: Path) -> None:
    to = tmp_path / "new"
    done = restore(archive, "--data", to)
    assert done.exit_code == 0, done.output
    assert f"now prove it: rackwatt ledger verify --data {to} --site" in done.output.replace(
        "\n", ""
    )
    assert head(to / "ledger.db") == head(data / "ledger.db")
    proof = call("verify", "--data", str(to), "--site", str(to / "site" / "site.yaml"))
    assert proof.exit_code == 0, proof.output
    assert "sound: nothing is wrong" in proof.output
    assert (archive.stat().st_mode & 0o777) == 0o600


def test_it_goes_on_where_the_backup_ended(archive: Path, data: Path, tmp_path: Path) -> None:
    """What is booked after the restore is what would have been booked without the loss."""
    to = tmp_path / "new"
    assert restore(archive, "--data", to).exit_code == 0
    heads = []
    for folder, site in ((data, data / "site.yaml"), (to, to / "site" / "site.yaml")):
        with closing(open_ledger(folder / "ledger.db", load_site(site))) as book:
            book.apply(hour_of(range(7220, 10_811, 10)), 2)
            book.close_intervals(BEGIN + 3 * HOUR + MINUTE)
        heads.append(head(folder / "ledger.db"))
    assert heads[0] == heads[1]


def test_it_is_made_while_somebody_writes(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.tar.gz"
    with closing(open_ledger(data / "ledger.db", load_site(data / "site.yaml"))) as book:
        book.apply(hour_of(range(7220, 10_811, 10)), 2)
        assert backup("--data", data, "--out", out).exit_code == 0
        at_backup = head(data / "ledger.db")
        book.close_intervals(BEGIN + 3 * HOUR + MINUTE)
    assert restore(out, "--data", tmp_path / "new").exit_code == 0
    assert head(tmp_path / "new" / "ledger.db") == at_backup != head(data / "ledger.db")


def test_the_spool_is_copied_before_the_ledger(tmp_path: Path) -> None:
    up = tmp_path / "up"
    for name in ("collector/spool.db", "collector/rollups.db"):
        path = up / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE t (x)")
    (up / "accountant").mkdir()
    two_hours(up / "accountant")
    (up / "collector" / "store").mkdir()
    with closing(sqlite3.connect(up / "collector" / "store" / "raw-2026-10-01.db")) as db:
        db.execute("CREATE TABLE t (x)")
    site = up / "accountant" / "site.yaml"
    out, small = tmp_path / "b.tar.gz", tmp_path / "s.tar.gz"
    done = backup("--data", up, "--out", out, "--with-store", "--site", site)
    assert done.exit_code == 0, done.output
    assert backup("--data", up, "--out", small, "--site", site).exit_code == 0
    assert [entry["name"] for entry in manifest(out)["files"]] == [
        "data/collector/spool.db", "data/collector/rollups.db",
        "data/collector/store/raw-2026-10-01.db", "data/accountant/ledger.db", "site/site.yaml",
    ]  # fmt: skip
    assert not any("store" in entry["name"] for entry in manifest(small)["files"])
    listed = restore(out, "--list")
    assert listed.exit_code == 0
    assert "data/collector/spool.db" in listed.output
    assert "the ledger ends with entry" in listed.output


def manifest(archive: Path) -> dict[str, list[dict[str, str]]]:
    with tarfile.open(archive) as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        found: dict[str, list[dict[str, str]]] = json.load(file)
    return found


def rewrite(archive: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> None:
    with tarfile.open(archive) as tar:
        parts = [(one.name, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in parts:
            if (changed := change(name, data)) is not None:
                info = tarfile.TarInfo(changed[0])
                info.size = len(changed[1])
                tar.addfile(info, io.BytesIO(changed[1]))


def flip(name: str, data: bytes) -> tuple[str, bytes]:
    if name != "data/ledger.db":
        return name, data
    return name, data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (flip, 1, "data/ledger.db is not what was copied"),
        (lambda n, d: None if n == "data/ledger.db" else (n, d), 1, "data/ledger.db is missing"),
        (lambda n, d: None if n == "manifest.json" else (n, d), 2, "it has no manifest"),
        (lambda n, d: (n, d.replace(b'"version": 1', b'"version": 9')), 2, "cannot read it"),
        (lambda n, d: (n, d.replace(b"data/ledger", b"../../ledger")), 1, "leads elsewhere"),
        (lambda n, d: (n, d.replace(b'"hash": "', b'"hash": "0')), 1, "does not end as the"),
    ],
)
def test_what_is_not_sound_changes_nothing(
    archive: Path,
    tmp_path: Path,
    change: Callable[[str, bytes], tuple[str, bytes] | None],
    code: int,
    said: str,
) -> None:
    rewrite(archive, change)
    done = restore(archive, "--data", tmp_path / "new")
    assert (done.exit_code, said in done.output.replace("\n", " ")) == (code, True), done.output
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new-*"))


def test_half_an_archive(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    done = restore(archive, "--data", tmp_path / "new")
    assert done.exit_code in {1, 2}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["/etc/passwd", "data/../x", "data", "", "else/x", "site/../../x"])
def test_no_name_leads_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="leads elsewhere"):
        place_of(Entry("ledger", name, 1, ""), tmp_path)


def test_wrong_input_is_said(data: Path, archive: Path, tmp_path: Path) -> None:
    for done, said in (
        (backup("--data", data, "--out", archive), "is there already"),
        (backup("--data", tmp_path / "no", "--out", tmp_path / "x"), "there is no folder"),
        (backup("--data", tmp_path, "--out", tmp_path / "x"), "neither a ledger nor a spool"),
        (restore(archive, "--data", data), "is not empty"),
        (restore(data / "ledger.db", "--data", tmp_path / "n"), "is no backup"),
        (restore(archive), "say where to restore it"),
    ):
        assert (done.exit_code, said in done.output.replace("\n", " ")) == (2, True), done.output
    assert not (tmp_path / "x").exists()
