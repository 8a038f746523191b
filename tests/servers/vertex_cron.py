"""Cron expressions as Vertex AI's schedules take them: five fields, and a time zone before them.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.schedules
"""

import datetime
import re
import zoneinfo
from typing import NamedTuple

FIELDS = {"minute": (0, 59), "hour": (0, 23), "day of month": (1, 31), "month": (1, 12), "day of week": (0, 7)}
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
NAMES = {
    "month": {name: number for number, name in enumerate(MONTHS, 1)},
    "day of week": {name: number for number, name in enumerate(DAYS)},
}
PART = re.compile(r"(\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")
HORIZON_DAYS = 5 * 366  # February 29 comes at least once


class Cron(NamedTuple):
    """A parsed expression: the time zone, allowed values of every field, and whether both days are restricted."""

    zone: zoneinfo.ZoneInfo
    values: list[set[int]]
    either_day: bool

    def after(self, time: datetime.datetime) -> datetime.datetime | None:
        """The first moment after `time` (aware), or None where there is none for years."""
        minutes, hours, days, months, weekdays = self.values
        local = time.astimezone(self.zone)
        for offset in range(HORIZON_DAYS):
            date = local.date() + datetime.timedelta(days=offset)
            matches = date.day in days, date.isoweekday() % 7 in weekdays
            if date.month not in months or not (any(matches) if self.either_day else all(matches)):
                continue
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    moment = datetime.datetime.combine(date, datetime.time(hour, minute), self.zone)
                    if moment.astimezone(datetime.UTC) > time:
                        return moment
        return None


def parse(text: str) -> Cron:
    """Reads an expression such as "TZ=Europe/Berlin 0 3 * * MON".

    Raises:
        ValueError: saying what is wrong.
    """
    matched = re.fullmatch(r"(?:(?:CRON_)?TZ=(\S+)\s+)?(.*)", text.strip(), re.DOTALL)
    assert matched  # the expression takes anything
    zone, rest = matched[1] or "UTC", matched[2].split()
    try:
        found = zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {zone!r}") from None
    if len(rest) != len(FIELDS):
        raise ValueError(f"{len(rest)} fields instead of {len(FIELDS)}")
    values = [_values(name, field) for name, field in zip(FIELDS, rest, strict=True)]
    if 7 in values[4]:
        values[4].add(0)
    return Cron(found, values, not rest[2].startswith("*") and not rest[4].startswith("*"))


def _values(name: str, field: str) -> set[int]:
    low, high = FIELDS[name]
    values: set[int] = set()
    for part in field.lower().split(","):
        matched = PART.fullmatch(part)
        if matched is None:
            raise ValueError(f"{name} {field!r}")
        whole, first, last, step = matched.groups()
        start = low if whole == "*" else _number(name, first)
        end = high if whole == "*" or (step and not last) else _number(name, last or first)
        if not low <= start <= end <= high or step == "0":
            raise ValueError(f"{name} {field!r} is not within {low} to {high}")
        values.update(range(start, end + 1, int(step or 1)))
    return values


def _number(name: str, text: str) -> int:
    number = NAMES.get(name, {}).get(text, text)
    try:
        return int(number)
    except ValueError:
        raise ValueError(f"{name} {text!r}") from None
