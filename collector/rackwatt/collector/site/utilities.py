# SPDX-License-Identifier: Apache-2.0
"""Water, reused heat and fuel: what a site uses or gives beside electricity.

`water`, `water_discharge` and `heat_reuse` name devices that agents read. No agent reads a tank:
`fuel` names CSV files with what documents say, with columns `from,to,fuel,liters,source_document`
and, where there are several tanks, `tank`. A line is a delivery or the difference of two dips;
lines of one tank follow one another, also where nothing was burnt (0 litres).
"""

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Final

from rackwatt.collector.accounting.factors import shipped
from rackwatt.collector.accounting.fuels import FuelLine
from rackwatt.collector.accounting.vocabulary import WATER_OUT
from rackwatt.collector.site.layout import Layout
from rackwatt.collector.site.metering import MeterTable
from rackwatt.collector.site.models import DischargeModel, HeatModel, SiteFile, WaterModel
from rackwatt.collector.site.problems import Problems
from rackwatt.collector.site.tables import Cells, read_table
from rackwatt.collector.site.topology import SITE_HALL, Placement, Utility, Validity
from rackwatt.wire.config import Key, nearest

NEEDED: Final = ("from", "to", "fuel", "liters", "source_document")
OPTIONAL: Final = ("tank",)
_MOST_LITERS: Final = 1e9


def utilities_of(
    problems: Problems, file: SiteFile, table: MeterTable, layout: Layout
) -> tuple[Utility, ...]:
    """The meters of water and of heat; those that stand nowhere stand on the site."""
    result: list[Utility] = []
    virtual = {meter.id for meter in table.meters if meter.virtual}
    sections: Mapping[str, Sequence[WaterModel | DischargeModel | HeatModel]] = {
        "water": file.water,
        "water_discharge": file.water_discharge,
        "heat_reuse": file.heat_reuse,
    }
    for section, models in sections.items():
        seen: dict[str, list[tuple[Validity, Key]]] = {}
        for index, model in enumerate(models):
            key: Key = (section, index)
            validity = problems.validity(key, model)
            for name in problems.expand((*key, "id"), (model.id,)):
                spans = seen.setdefault(name, [])
                clash = next((at for span, at in spans if span.overlaps(validity)), None)
                if clash is not None:
                    where = problems.line(clash)
                    text = f"device {name!r} stands twice at the same time: see line {where}"
                    problems.add((*key, "id"), text)
                spans.append((validity, key))
                if name in virtual:
                    problems.add((*key, "id"), f"{name!r} is a virtual meter: name a device")
                elif name not in layout.stands:
                    place = Placement(SITE_HALL)
                    layout.put([name], "meter", place, Validity(), (*key, "id"))
                result.append(_utility(name, model, validity))
    return tuple(result)


def _utility(
    name: str, model: WaterModel | DischargeModel | HeatModel, validity: Validity
) -> Utility:
    cadence = model.cadence or 0.0
    if isinstance(model, HeatModel):
        return Utility(name, "coolant", cadence_seconds=cadence, validity=validity)
    if isinstance(model, DischargeModel):
        return Utility(name, "water", WATER_OUT, cadence_seconds=cadence, validity=validity)
    return Utility(name, "water", model.source, model.use, cadence, validity)


def fuel_of(problems: Problems, file: SiteFile) -> tuple[FuelLine, ...]:
    """What gensets burnt; the spans of one tank do not overlap."""
    result: list[FuelLine] = []
    known = {*file.carbon.fuel_factors, *(f.fuel for f in shipped().fuels if f.unit == "kWh/l")}
    seen: dict[str, list[tuple[Validity, Cells]]] = {}
    for index, name in enumerate(file.fuel):
        for cells in read_table(problems, ("fuel", index), name, NEEDED, OPTIONAL):
            line = _line(cells)
            if line.fuel not in known:
                cells.wrong("fuel", f"unknown fuel {line.fuel!r}", nearest(line.fuel, known))
            span = Validity(line.start_ms, line.end_ms)
            spans = seen.setdefault(line.tank, [])
            clash = next((other for taken, other in spans if taken.overlaps(span)), None)
            if clash is not None:
                cells.wrong("from", f"overlaps line {clash.line} of {clash.file}")
            spans.append((span, cells))
            result.append(line)
    return tuple(result)


def _line(cells: Cells) -> FuelLine:
    if not cells.texts["source_document"]:
        cells.wrong("source_document", "is empty: say where the figure stands")
    start, end = cells.span("from", "to")
    return FuelLine(
        start_ms=start,
        end_ms=end,
        fuel=cells.texts["fuel"],
        liters=cells.number("liters", 0.0, _MOST_LITERS),
        tank=cells.texts["tank"],
        document=cells.texts["source_document"],
    )


def liters_by_fuel(lines: Sequence[FuelLine]) -> dict[str, float]:
    """What all lines together burnt."""
    fuels = sorted({line.fuel for line in lines})
    return {fuel: fsum(line.liters for line in lines if line.fuel == fuel) for fuel in fuels}


def fuel_defaults(file: SiteFile, lines: Sequence[FuelLine]) -> list[str]:
    """Sentences about fuels whose factor the file does not give."""
    missing = sorted({line.fuel for line in lines} - set(file.carbon.fuel_factors))
    return [f"carbon.fuel_factors.{fuel}: unknown, scope 1 stays empty" for fuel in missing]
