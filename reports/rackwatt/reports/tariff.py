# SPDX-License-Identifier: Apache-2.0
"""What tenants pay: a price per kWh by time of use, in one currency, as a YAML file says.

```yaml
currency: MAD
price_per_kilowatt_hour: 0.95          # whenever no band holds
bands:
- {name: peak, from: "17:00", to: "22:00", days: [mon, tue], price_per_kilowatt_hour: 1.40}
```
"""

from datetime import datetime, time
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class BadTariff(ValueError):  # noqa: N818 - what the text is
    """A file is no tariff; it says where and why."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Band(_Model):
    """Hours by the site's clocks with a price of their own; one past midnight needs two bands."""

    name: str
    start: time = Field(alias="from")
    end: time = Field(alias="to")
    """``00:00`` is the end of the day."""
    days: tuple[Day, ...] = _DAYS
    price_per_kilowatt_hour: float = Field(ge=0.0)

    def holds(self, local: datetime) -> bool:
        """Whether it holds at a local time."""
        now = local.time()
        inside = self.start <= now and (now < self.end or self.end == time(0))
        return inside and _DAYS[local.weekday()] in self.days


class Tariff(_Model):
    """A tariff: the first band that holds counts."""

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    price_per_kilowatt_hour: float = Field(ge=0.0)
    bands: tuple[Band, ...] = ()

    def price(self, time_ms: int, zone: ZoneInfo) -> float:
        """Return the price of a kWh at an instant, by the site's clocks."""
        local = datetime.fromtimestamp(time_ms / 1000, zone)
        for band in self.bands:
            if band.holds(local):
                return band.price_per_kilowatt_hour
        return self.price_per_kilowatt_hour


def read_tariff(path: Path) -> Tariff:
    """Return the tariff of a file.

    Raises:
        BadTariff: It is none.
    """
    try:
        return Tariff.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadTariff(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadTariff(f"{path} is no YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BadTariff(f"{path}: {where}: {first['msg']}") from error
