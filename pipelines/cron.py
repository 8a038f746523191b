"""When a schedule fires: cron expressions and times as people write them, checked before they are sent."""

import datetime as dt
import re
import zoneinfo

from components.common.errors import InputError

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
# Name, lowest, highest, names: the five fields of a unix-cron expression, in order.
FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of month", 1, 31, []),
    ("month", 1, 12, MONTHS),
    ("day of week", 0, 7, WEEKDAYS),
)
LONGEST = {month: 29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31 for month in range(1, 13)}
EXAMPLE = 'Write minute hour day-of-month month day-of-week, for example --cron "0 3 * * 1" for Mondays at three.'


def expression(cron: str, time_zone: str) -> str:
    """What Vertex AI takes: TZ=Europe/Berlin 0 3 * * 1.

    Raises:
        InputError: not five fields, a value out of its range, a day that no month has, or an unknown time zone.
    """
    if time_zone not in zoneinfo.available_timezones():
        expected = "a name of the IANA time zone database, such as Europe/Berlin or UTC"
        raise InputError("--time-zone", repr(time_zone), expected, "Correct the name.")
    if cron.upper().startswith(("TZ=", "CRON_TZ=")):
        raise InputError("--cron", repr(cron), "five fields without a time zone", "Name it by --time-zone.")
    parts = cron.split()
    if len(parts) != len(FIELDS):
        raise InputError("--cron", f"{cron!r} with {len(parts)} fields", "five fields", EXAMPLE)
    _, _, days, months, weekdays = (_values(part, *field) for part, field in zip(parts, FIELDS, strict=True))
    # With a weekday besides, either of the two fires.
    if len(weekdays) in (7, 8) and min(days) > max(LONGEST[month] for month in months):
        raise InputError("--cron", f"{cron!r}, which never fires", "a day that the month has", "Correct the day.")
    return f"TZ={time_zone} {' '.join(parts)}"


def moment(flag: str, text: str, time_zone: str) -> dt.datetime | None:
    """A time such as 2026-12-01 or 2026-12-01T03:00, in the schedule's time zone unless it has one; "" is none."""
    if not text:
        return None
    try:
        parsed = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(flag, repr(text), "a time such as 2026-12-01T03:00", "Correct the time.") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=zoneinfo.ZoneInfo(time_zone))


def _values(text: str, name: str, lowest: int, highest: int, names: list[str]) -> set[int]:
    """All values that a field stands for."""

    def number(part: str) -> int:
        named = names.index(part.upper()) + lowest if part.upper() in names else None
        if named is None and not re.fullmatch(r"\d+", part, re.ASCII):
            raise wrong
        value = int(part) if named is None else named
        if not lowest <= value <= highest:
            raise wrong
        return value

    wrong = InputError("--cron", f"{text!r} as {name}", f"values of {lowest} to {highest}", EXAMPLE)
    found: set[int] = set()
    for item in text.split(","):
        range_, slash, step = item.partition("/")
        if slash and not re.fullmatch(r"[1-9]\d*", step, re.ASCII):
            raise wrong
        first, dash, last = range_.partition("-")
        if range_ == "*":
            start, end = lowest, highest
        elif dash:
            start, end = number(first), number(last)
        else:
            start = number(first)
            end = highest if slash else start
        if start > end:
            raise wrong
        found.update(range(start, end + 1, int(step or 1)))
    return found
