"""evaluation.json, as the Evaluator writes it and everybody after it reads it: figures, and a verdict with its reasons.

A reason carries what was measured and what it had to reach, so that whoever obeys the verdict can follow it.
"""

from typing import Any

from components.common import lineage, schema, shapes, storage
from components.common.errors import InputError
from components.common.model_metadata import INTERVAL, MADE_FROM
from components.common.shapes import Boolean, List, Maybe, Number, Object, Text
from components.common.strict_json import shown

FILE = "evaluation.json"
FORMAT_VERSION = 2
FEWEST_CUSTOMERS = 30  # below, an interval is too rough to lean on
EVALUATE_AGAIN = "Run the Evaluator again."
CHAMPION, CHAMPION_SLICES, FLOOR, BASELINE, COVERAGE = "champion", "champion_slices", "floor", "baseline", "coverage"
OF_INTERVALS = (CHAMPION, BASELINE)  # rules that ask for enough customers
ALL, NONE = "all", "none"

SHARE = Number(0, 1)
REASON = Object(
    {"rule": Text(), "passed": Boolean(), "text": Text("the reason in words")},
    {"measured": Maybe(Number()), "least": Number()},
)
THRESHOLDS = Object(
    {"must_beat": Text(), "margin": SHARE, "slice_margin": SHARE, "min_coverage": SHARE, "floors": Object(others=SHARE)}
)
FIGURES = Object(others=INTERVAL)
SHAPE = Object(
    {
        "model_version": Text("the model_version, a text"),
        "verdict": Object({"promote": Boolean(), "reasons": List(REASON, 1)}, {"thresholds": THRESHOLDS}),
        "metrics": Object({"model": Object(others=INTERVAL, least=1)}, others=FIGURES),
        "rows": Number(1, whole=True),
    },
    {
        "customers": Number(1, whole=True),
        "champion": Object({"model_version": Text()}),
        "slices": List(
            Object({"group": Text(), "name": Text(r"a text", r"(?s).*")}, {"metrics": Object(others=FIGURES)})
        ),
        "made_from": MADE_FROM,
        "fingerprint": Text("a fingerprint"),
    },
)


def read(folder: str) -> dict[str, Any]:
    """Reads the evaluation of a test split.

    Args:
        folder: evaluation/ of the Evaluator, local or gs://.

    Raises:
        InputError: not there, not as the Evaluator writes it, changed since, of another split, or with a verdict that
            does not follow from its reasons and figures.
    """
    path = storage.join(folder, FILE)
    document = storage.read_json(path, "the evaluation.json of the Evaluator")
    schema.expect_version(path, document, FORMAT_VERSION, "Evaluator")
    if document.get("split") != "test":
        found = shown(document.get("split"))
        raise InputError(f"{path}, field split", found, "test, which training has not seen", EVALUATE_AGAIN)
    metrics = document.get("metrics")
    if not isinstance(metrics, dict) or not metrics.get("model"):
        raise InputError(f"{path}, field metrics", "no figures of the model", "those of the model", EVALUATE_AGAIN)
    shapes.expect(path, document, SHAPE, EVALUATE_AGAIN)
    lineage.expect_sealed(path, document, "Evaluator")
    _expect_verdict(path, document)
    return document


def holds(rule: str, measured: float | None, least: float, is_enough: bool) -> bool:
    """Whether a condition of the gate holds.

    Args:
        rule: Which one.
        measured: The figure; None where there was nothing to measure.
        least: What it must reach; a baseline must be exceeded.
        is_enough: There are FEWEST_CUSTOMERS: an interval of fewer says nothing.
    """
    if measured is None:
        return rule in (FLOOR, CHAMPION_SLICES)
    if rule in OF_INTERVALS and not is_enough:
        return False
    return measured > least if rule == BASELINE else measured >= least


def _expect_verdict(path: str, document: dict[str, Any]) -> None:
    """Raises InputError where the verdict does not follow from the reasons, or a reason not from its figures."""
    verdict = document["verdict"]
    promote, passed = verdict["promote"], all(reason["passed"] for reason in verdict["reasons"])
    if promote is not passed:
        found, expected = repr(promote), "true where all reasons passed, else false"
        raise InputError(f"{path}, field verdict.promote", found, expected, EVALUATE_AGAIN)
    if "thresholds" not in verdict:
        return
    rules, known = [reason["rule"] for reason in verdict["reasons"]], _rules(document)
    if rules != known:
        found, expected = ", ".join(rules), f"{', '.join(known)}, as the thresholds ask"
        raise InputError(f"{path}, field verdict.reasons", found, expected, EVALUATE_AGAIN)
    floors = iter(verdict["thresholds"]["floors"])
    for number, reason in enumerate(verdict["reasons"]):
        _expect_reason(f"{path}, field verdict.reasons[{number}]", document, reason, floors)


def _rules(document: dict[str, Any]) -> list[str]:
    """The rules by which a verdict must give a reason each, in their order."""
    thresholds = document["verdict"]["thresholds"]
    return [
        *((CHAMPION, CHAMPION_SLICES) if "champion" in document else ()),
        *[FLOOR] * len(thresholds["floors"]),
        *((BASELINE,) if thresholds["must_beat"] != NONE else ()),
        COVERAGE,
    ]


def _expect_reason(where: str, document: dict[str, Any], reason: dict[str, Any], floors: Any) -> None:
    """Raises InputError where a reason contradicts the thresholds, the metrics or itself."""
    rule, thresholds, figures = reason["rule"], document["verdict"]["thresholds"], document["metrics"]["model"]
    key = next(floors) if rule == FLOOR else ""
    least = {
        CHAMPION: -thresholds["margin"],
        CHAMPION_SLICES: -thresholds["slice_margin"],
        FLOOR: thresholds["floors"].get(key),
        BASELINE: 0,
        COVERAGE: thresholds["min_coverage"],
    }[rule]
    measured = reason.get("measured")
    if rule == COVERAGE and "coverage_10" in figures:
        measured = figures["coverage_10"]["value"]
    elif rule == FLOOR and "slices" in document:
        measured = _recall_of(document, key)
    if reason.get("measured", measured) != measured or reason.get("least", least) != least:
        found = f"measured {reason.get('measured')}, least {reason.get('least')}"
        expected = f"measured {measured}, least {least}, as metrics and thresholds say"
        raise InputError(where, found, expected, EVALUATE_AGAIN)
    follows = "measured" in reason or measured is not None  # earlier versions did not write it down
    is_enough = document.get("customers", FEWEST_CUSTOMERS) >= FEWEST_CUSTOMERS
    if follows and reason["passed"] is not holds(rule, measured, least, is_enough):
        expected = f"{not reason['passed']}: measured {measured}, least {least}"
        raise InputError(f"{where}.passed", repr(reason["passed"]), expected, EVALUATE_AGAIN)


def _recall_of(document: dict[str, Any], key: str) -> float | None:
    """The model's Recall at the largest k in a slice; None where the slice has no rows."""
    figures = document["metrics"]["model"]
    if key != ALL:
        parts: dict[str, Any] = {f"{part['group']}.{part['name']}": part for part in document["slices"]}
        figures = parts.get(key, {}).get("metrics", {}).get("model", {})
    recalls = {int(name.removeprefix("recall_")): name for name in figures if name.startswith("recall_")}
    return float(figures[recalls[max(recalls)]]["value"]) if recalls else None
