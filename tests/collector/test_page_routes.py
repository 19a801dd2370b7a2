# SPDX-License-Identifier: Apache-2.0
"""The page over HTTP: what its first HTML says, in every state, and what protects it."""

import asyncio
import html as html_lib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from rackwatt.collector.live.page import (
    LivePage,
    Renderer,
    SecurityHeaders,
    routes,
)
from rackwatt.collector.live.page.catalogue import STATIC
from rackwatt.collector.live.page.demo import demo_frame, demo_history
from rackwatt.collector.live.page.live_page import serialise

NOW = 1_790_000_000_000


def app_of(page: LivePage, renderer: Renderer | None = None) -> Starlette:
    return Starlette(routes=routes(page, renderer), middleware=[Middleware(SecurityHeaders)])


def page_of(frame: Mapping[str, Any] | None) -> LivePage:
    page = LivePage(lambda: demo_history(NOW))
    if frame is not None:
        page.publish(frame)
    return page


async def get(
    path: str,
    frame: Mapping[str, Any] | None,
    renderer: Renderer | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    transport = httpx.ASGITransport(app_of(page_of(frame), renderer))
    async with httpx.AsyncClient(transport=transport, base_url="http://rackwatt") as client:
        return await client.get(path, headers=headers)


def renewable_of(path: str) -> str:
    """The wall is public: what is sold is not called renewable there."""
    return "shares.renewable_claimable" if path.startswith("/wall") else "shares.renewable"


def figure(text: str, path: str) -> str:
    found = re.search(rf'data-bind="{re.escape(path)}"[^>]*>([^<]*)<', text)
    assert found, path
    return html_lib.unescape(found[1])


@pytest.mark.parametrize(
    ("language", "direction", "pue", "renewable"),
    [
        ("en", "ltr", "1.185", "64.6"),
        ("fr", "ltr", "1,185", "64,6"),
        ("ar", "rtl", "1,185", "64,6"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/wall"])
async def test_the_first_html_carries_the_figures(
    path: str, renewable: str, language: str, direction: str, pue: str
) -> None:
    frame = demo_frame(NOW)
    frame["pue"]["value"] = 1.18503
    frame["shares"] |= {"renewable": 0.64587, "renewable_claimable": 0.64587}
    answer = await get(f"{path}?lang={language}", frame)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert f'<html lang="{language}" dir="{direction}">' in answer.text
    assert figure(answer.text, "pue.value") == pue
    shown = (
        renewable
        if path == "/"
        else renewable.split(".", maxsplit=1)[0].split(",", maxsplit=1)[0].replace("64", "65")
    )
    assert figure(answer.text, renewable_of(path)) == shown
    assert figure(answer.text, "time") == "15:13:20"


async def test_every_part_of_the_frame_stands_in_the_operators_html() -> None:
    text = (await get("/?lang=en", demo_frame(NOW))).text
    for path in ("load_watts", "intensity.operational", "intensity.life_cycle"):
        assert figure(text, path) != "–"
    for word in ("r1-01", "modbus-site", "cdu-a1", "demo-host", "xid_79", "grid-1", "Unmetered"):
        assert word in text
    assert len(re.findall(r'class="rack" data-row="r\d-\d\d"', text)) == 16
    assert text.count("<main") == 1
    assert "Simulated data" in text


async def test_the_browsers_language_is_taken_when_none_is_asked_for() -> None:
    answer = await get("/", demo_frame(NOW), headers={"Accept-Language": "ar-MA,fr;q=0.8"})
    assert '<html lang="ar" dir="rtl">' in answer.text
    assert answer.headers["vary"] == "Accept-Language"
    assert answer.headers["content-language"] == "ar"


async def test_before_the_first_frame_nothing_is_claimed() -> None:
    answer = await get("/?lang=en", None)
    assert answer.status_code == 200
    assert 'data-state="starting"' in answer.text
    assert figure(answer.text, "pue.value") == "–"
    assert figure(answer.text, "load_watts") == "–"
    body = answer.text.partition("<template>")[0]
    assert not re.search(r'class="num[^"]*"[^>]*>0', body)


async def test_a_starting_site_says_why_its_pue_is_not_known() -> None:
    frame = demo_frame(NOW) | {"state": "starting"}
    frame["pue"] = {"value": None, "category": 2, "window": "15m", "since": None}
    frame["pue"]["reason"] = "starting"
    text = (await get("/?lang=en", frame)).text
    assert 'data-state="starting"' in text
    assert figure(text, "pue.value") == "–"
    assert figure(text, "pue.reason") == "Not known yet: starting"
    assert 'title="Not known yet: starting"' in text


async def test_missing_meters_are_named() -> None:
    frame = demo_frame(NOW)
    frame["pue"] = {"value": None, "category": None, "reason": "missing:it,cooling-1"}
    text = (await get("/wall?lang=fr", frame)).text
    assert figure(text, "pue.reason") == "Mesures manquantes\u202f: it, cooling-1"


async def test_stale_figures_are_marked_with_the_time_of_the_last_reading() -> None:
    text = (await get("/?lang=en", demo_frame(NOW) | {"state": "stale"})).text
    assert 'data-state="stale"' in text
    assert "No reading since 15:13:20." in text


async def test_unknown_is_a_dash_and_never_zero() -> None:
    frame = demo_frame(NOW)
    frame["shares"] = dict.fromkeys(frame["shares"])
    frame["intensity"] = {"operational": None, "life_cycle": None}
    frame["load_watts"] = None
    for source in frame["sources"]:
        source["share"] = None
    for path in ("/", "/wall"):
        text = (await get(f"{path}?lang=en", frame)).text
        assert figure(text, renewable_of(path)) == "–"
        assert figure(text, "load_watts") == "–"
        assert figure(text, "intensity.life_cycle") == "–"
        assert re.search(
            r'class="reason" data-if="!view.origin_known">|reason" data-if="!view', text
        )


async def test_zero_is_zero_and_not_unknown() -> None:
    frame = demo_frame(NOW)
    frame["shares"]["renewable"] = 0.0
    assert figure((await get("/?lang=en", frame)).text, "shares.renewable") == "0.0"


async def test_what_is_sold_is_not_called_renewable_on_the_wall() -> None:
    frame = demo_frame(NOW)
    frame["shares"] |= {"renewable": 0.9, "renewable_claimable": 0.4}
    frame["site"] = frame["site"] | {"sold": True}
    wall = (await get("/wall?lang=en", frame)).text
    assert figure(wall, "shares.renewable_claimable") == "40"
    assert "without what was sold as certificates" in wall
    assert 'data-bind="shares.renewable"' not in wall


async def test_real_sites_carry_no_simulated_mark() -> None:
    frame = demo_frame(NOW)
    frame["site"] = frame["site"] | {"simulated": False}
    for path in ("/", "/wall"):
        text = (await get(f"{path}?lang=en", frame)).text
        assert re.search(r'class="simulated[^"]*" data-if="site.simulated" hidden', text)


async def test_names_from_outside_are_text_and_nothing_more() -> None:
    evil = '"><script>alert(1)</script>'
    frame = demo_frame(NOW)
    frame["site"] = frame["site"] | {"name": evil}
    frame["agents"][0]["name"] = evil
    frame["racks"][0]["id"] = evil
    frame["events"][0]["text"] = evil
    frame["pue"]["reason"] = f"missing:{evil}"
    for path in ("/", "/wall"):
        text = (await get(path, frame)).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text


async def test_without_built_assets_the_page_says_so_and_keeps_its_figures(tmp_path: Path) -> None:
    renderer = Renderer(assets=tmp_path / "none")
    text = (await get("/?lang=en", demo_frame(NOW), renderer)).text
    assert "The charts are missing" in text
    assert "echarts" not in text
    assert "fonts.css" not in text
    assert figure(text, "pue.value") != "–"


async def test_with_built_assets_the_charts_are_there(tmp_path: Path) -> None:
    (tmp_path / "stamp").touch()
    text = (await get("/?lang=en", demo_frame(NOW), Renderer(assets=tmp_path / "stamp"))).text
    assert "static/vendor/echarts.js" in text
    assert "The charts are missing" not in text


@pytest.mark.parametrize("path", ["/", "/wall", "/api/frame", "/static/js/page.js", "/nothing"])
async def test_every_answer_carries_the_security_headers(path: str) -> None:
    headers = (await get(path, demo_frame(NOW))).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/", "/wall"])
async def test_pages_hold_nothing_inline_that_the_policy_forbids(path: str) -> None:
    text = (await get(path, demo_frame(NOW))).text
    assert not re.search(r"\sstyle=|\son\w+=|<style", text)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))


async def test_no_file_of_ours_names_an_address() -> None:
    pages = [(await get(path, demo_frame(NOW))).text for path in ("/", "/wall")]
    files = [p for p in STATIC.rglob("*") if p.is_file() and "vendor" not in p.parts]
    assert len(files) > 15
    for text in [*pages, *(path.read_text(encoding="utf-8") for path in files)]:
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", text)
        assert {address for address in found if "//www.w3.org/" not in address} == set()


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/static/js/page.js", "text/javascript; charset=utf-8"),
        ("/static/css/page.css", "text/css; charset=utf-8"),
        ("/static/i18n/ar.json", "application/json"),
        ("/static/favicon.svg", "image/svg+xml"),
    ],
)
async def test_static_files_have_their_types_and_are_revalidated(
    path: str, media_type: str
) -> None:
    answer = await get(path, None)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == "no-cache"
    again = await get(path, None, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path", ["/static/../routes.py", "/static/%2e%2e/routes.py", "/static/js/", "/static/none.js"]
)
async def test_nothing_but_static_files_is_served(path: str) -> None:
    assert (await get(path, None)).status_code == 404


async def test_frame_and_history_are_plain_json() -> None:
    frame = demo_frame(NOW)
    answer = await get("/api/frame", frame)
    assert answer.json() == json.loads(json.dumps(frame))
    assert answer.headers["content-type"] == "application/json"
    history = (await get("/api/history", frame)).json()
    assert len(history["times"]) == 360
    assert set(history["sources"]) == {source["id"] for source in frame["sources"]}


def test_a_number_that_is_none_becomes_null() -> None:
    frame = {"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": (float("-inf"),)}}
    assert json.loads(serialise(frame)) == {"a": None, "b": [None, 1.5], "c": {"d": [None]}}


async def test_a_table_that_is_long_comes_with_the_first_frame_and_is_counted_all_the_same() -> (
    None
):
    racks = [{"id": f"r{number:03d}", "hall": "h", "row": "w"} for number in range(501)]
    agents = [{"name": f"agent-{number:03d}", "state": "online"} for number in range(501)]
    html = Renderer().render("operators", "en", {"racks": racks, "agents": agents})
    assert "r007" not in html
    assert "agent-007" not in html
    assert "501 of 501" in html
    assert "r007" in Renderer().render("operators", "en", {"racks": racks[:500]})


async def test_one_frame_is_rendered_once_for_all_who_ask() -> None:
    rendered: list[str] = []

    class Counting(Renderer):
        def render(self, page: str, language: str, frame: Mapping[str, Any]) -> str:
            rendered.append(page)
            return super().render(page, language, frame)

    page = LivePage(dict)
    page.publish(demo_frame(NOW))
    transport = httpx.ASGITransport(Starlette(routes=routes(page, Counting())))
    async with httpx.AsyncClient(transport=transport, base_url="http://rackwatt") as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(5)))
        assert len({answer.text for answer in answers}) == 1
        page.publish(demo_frame(NOW + 1000))
        assert (await client.get("/")).text != answers[0].text
    assert len(rendered) == 2


@pytest.mark.parametrize(("language", "title"), [("en", "cooling chain"), ("ar", "سلسلة")])
async def test_the_chain_page_says_how_to_add_chains_and_links_back(
    language: str, title: str
) -> None:
    answer = await get(f"/chain?lang={language}", demo_frame(NOW))
    assert answer.status_code == 200
    assert title in answer.text
    assert "docs/chains.md" in answer.text
    assert "static/js/chain.js" in answer.text
    assert "static/js/page.js" not in answer.text
    assert not re.search(r"<script>|<style|style=|onclick=", answer.text)
    operators = await get(f"/?lang={language}", demo_frame(NOW))
    assert f'href="chain?lang={language}"' in operators.text
