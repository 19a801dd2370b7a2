# SPDX-License-Identifier: Apache-2.0
"""Messages that no agent of ours would send: made of a seed, so that each can be made again."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from rackwatt.wire.readings import FIELDS, KINDS

_TEXTS: Final = ("", "x", "\ud800", "\x00", "a\nb", "é" * 50, "NaN", "'; DROP TABLE messages;--",
                 "power_watts", "__proto__", "A" * 300, "\u202e", "{}", "\U0001f600")  # fmt: skip
_NUMBERS: Final = (0, -1, 1, 2**31, 2**53, 2**63, 10**400, -(10**400), 0.5, 1e308, -1e308, 5e-324,
                   float("nan"), float("inf"), float("-inf"), True, False)  # fmt: skip
SITE: Final = "demo"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the vandal; `last` tells what it pretends to be."""

    topic: str
    payload: bytes


class Vandal:
    """Makes messages that are wrong in some way, or only unusual.

    Args:
        seed: the same seed makes the same messages.
        wild_topics: topics of any form; else only those that a collector's subscription matches.
    """

    def __init__(self, seed: int, *, wild_topics: bool = False) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - repeatable
        self._wild = wild_topics
        self._makers: tuple[Callable[[], bytes], ...] = (
            self._bytes, self._deep, self._half, self._envelope, self._envelope, self._readings,
            self._readings, self._readings, self._newer, self._json, self._numbering, self._long,
            self._utf, self._status, self._inventory,
        )  # fmt: skip

    def messages(self, count: int) -> Iterator[Message]:
        for _ in range(count):
            # A session gives no lone surrogate: what is no UTF-8 comes escaped.
            topic = self._topic().encode(errors="backslashreplace").decode()
            yield Message(topic, self._rng.choice(self._makers)())

    def _topic(self) -> str:
        rng = self._rng
        last = rng.choice((*KINDS, "status", "inventory"))
        hall = rng.choice(("hall-a", "hall-b", "site", "nowhere", "hall a", "HALL-A"))
        agent = rng.choice(("vandal", "vandal-2", "r1-n1", "meters", "é", "a b", "x" * 120, "$SYS",
                            f"v{rng.randrange(10**6)}"))  # fmt: skip
        if not self._wild or rng.random() < 0.7:
            return f"rackwatt/v1/{SITE}/{hall}/{agent}/{last}"
        parts = [rng.choice((*_TEXTS, "rackwatt", "v1", SITE, "hall-a", "power", "#", "+"))
                 for _ in range(rng.randrange(9))]  # fmt: skip
        return "/".join(parts)

    def _any(self, depth: int = 0) -> object:
        rng = self._rng
        pick = rng.randrange(6 if depth < 3 else 4)
        if pick == 0:
            return rng.choice(_TEXTS)
        if pick in (1, 2):
            return rng.choice(_NUMBERS)
        if pick == 3:
            return None
        if pick == 4:
            return [self._any(depth + 1) for _ in range(rng.randrange(4))]
        return {rng.choice(_TEXTS): self._any(depth + 1) for _ in range(rng.randrange(4))}

    def _dump(self, value: object) -> bytes:
        return json.dumps(value).encode()

    def _bytes(self) -> bytes:
        return self._rng.randbytes(self._rng.randrange(200))

    def _deep(self) -> bytes:
        depth = self._rng.choice((10, 500, 5_000, 50_000))
        opening = self._rng.choice((b"[", b'{"a":', b'{"readings":[', b'[{"device":'))
        return opening * depth + b"1"

    def _half(self) -> bytes:
        whole = self._readings()
        return whole[: self._rng.randrange(len(whole))]

    def _json(self) -> bytes:
        return self._dump(self._any())

    def _utf(self) -> bytes:
        text = self._readings().decode()
        return self._rng.choice(
            (text.encode("utf-16"), text.encode("utf-32"), b"\xef\xbb\xbf" + text.encode(),
             text.encode() + b"\xff", text.replace("device", "\udcff", 1).encode(errors="replace"))
        )  # fmt: skip

    def _envelope(self) -> bytes:
        rng = self._rng
        whole: dict[str, object] = {
            "epoch": rng.randrange(1, 2**52),
            "seq": rng.randrange(1, 2**52),
            "time": 1_790_000_000_000,
            "readings": [],
        }
        name = rng.choice(list(whole))
        whole[name] = self._any()
        if rng.random() < 0.2:
            del whole[name]
        return self._dump(whole)

    def _readings(self) -> bytes:
        """A good envelope, and anything as readings."""
        rng = self._rng
        items: list[object] = []
        names = list(FIELDS["power"])
        for _ in range(rng.randrange(6)):
            if rng.random() < 0.2:
                items.append(self._any())
                continue
            item: dict[str, object] = {"device": f"vandal-{rng.randrange(50)}"}
            for name in rng.sample(names, 3):
                item[name] = rng.choice((rng.uniform(-1e9, 1e9), rng.choice(_NUMBERS), self._any()))
            if rng.random() < 0.3:
                item[rng.choice(("device", "time", "quality", "code", "text"))] = self._any()
            items.append(item)
        return self._message(items)

    def _message(self, items: list[object]) -> bytes:
        rng = self._rng
        body = {"epoch": rng.randrange(1, 5), "seq": rng.randrange(1, 10**6)}
        return self._dump(body | {"time": 1_790_000_000_000, "readings": items})

    def _newer(self) -> bytes:
        """What an agent of next year's version would send."""
        quality = {"moon_phase_ratio": "estimated", "power_watts": "guessed"}
        reading: dict[str, object] = {
            "device": "vandal-new",
            "power_watts": 1.0,
            "moon_phase_ratio": 0.5,
        }
        reading["quality"] = quality
        return self._message([reading])[:-1] + b',"compression":"none"}'

    def _numbering(self) -> bytes:
        """Numbers as far apart as they get, to fill what remembers them."""
        rng = self._rng
        body = {"epoch": rng.choice((1, rng.randrange(1, 2**53))), "seq": rng.randrange(1, 2**53)}
        return self._dump(body | {"time": 0, "readings": []})

    def _long(self) -> bytes:
        count = self._rng.choice((100, 2000))
        kind = self._rng.randrange(3)
        if kind == 0:
            return self._message([1] * count)
        if kind == 1:
            return self._message([{"device": "vandal-1", **{f"k{n}": 1 for n in range(count)}}])
        return self._message([{"device": "x" * count}])

    def _status(self) -> bytes:
        rng = self._rng
        far = (1, 2**30, 2**53 - 1)
        epochs = [{"epoch": rng.randrange(1, 2**53), "oldest": rng.choice(far),
                   "last": rng.choice(far), "sent_through": rng.choice(far)}
                  for _ in range(rng.choice((0, 1, 20)))]  # fmt: skip
        whole: dict[str, object] = {"state": rng.choice(("online", "offline", "here")),
                                    "session": rng.choice((0, 1, 2**53 - 1, -1)),
                                    "time": rng.choice((0, 1_790_000_000_000, 2**53 - 1)),
                                    "epochs": epochs}  # fmt: skip
        if rng.random() < 0.3:
            whole[rng.choice(list(whole))] = self._any()
        return self._dump(whole)

    def _inventory(self) -> bytes:
        whole = {"version": self._any(), "time": self._any(), "devices": self._any()}
        return self._dump(whole)


def huge(size: int) -> Iterator[bytes]:
    """Payloads of some megabytes, each costly to a reader that begins before it has measured."""
    yield b"x" * size
    yield b"[" * size
    yield b'{"version":"x","time":1,"devices":[' + b"1," * (size // 2) + b"1]}"
    yield b'{"epoch":1,"seq":1,"time":1,"readings":[' + b"1," * (size // 2) + b"1]}"
