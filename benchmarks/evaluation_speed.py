"""Evaluating features for one user after another, against the official Python SDK of GrowthBook on the same ones."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import growthbook
import numpy as np

from benchmarks.figures import Figure, Say, alternating, benchmark
from targeting.features import compile_features, evaluate

FEATURES: Final = 30
BAR: Final = 10.0


@benchmark("evaluation")
def evaluation(say: Say, *, users: int = 1_500, turns: int = 9) -> Sequence[Figure]:
    """Each user asks for one feature: a condition of four clauses, then an experiment of three weighted variants.

    The SDK has loaded its features and keeps one instance, whose attributes are replaced for each user: the fastest of its
    public ways. Its answers are compared with ours first.
    """
    features = _features()
    everybody = _people(np.random.default_rng(1), users * 4)
    compiled = compile_features(features)
    keys = list(features)
    logging.getLogger("growthbook").setLevel(logging.CRITICAL)
    sdk = growthbook.GrowthBook(features=features)

    def by_sdk(attributes: dict[str, Any], key: str) -> Any:
        sdk.set_attributes(attributes)
        return sdk.eval_feature(key)

    def by_context(attributes: dict[str, Any], key: str) -> Any:
        return evaluate({"attributes": attributes, "features": features}, key)

    asked = [(person, keys[i % FEATURES]) for i, person in enumerate(everybody)]
    drawn = [each for each in asked if compiled.evaluate(*each)["source"] == "experiment"][:users]
    others = [each for each in asked if compiled.evaluate(*each)["source"] != "experiment"][:users]
    same = all(_same(compiled.evaluate(*each), by_sdk(*each).to_dict()) for each in asked)
    figures = []
    for what, some, ours, bar in (
        ("users whom the experiment is for", drawn, compiled.evaluate, BAR),
        ("users whom its condition leaves out", others, compiled.evaluate, None),
        ("users whom the experiment is for, from an SDK context", drawn, by_context, None),
    ):
        figure = _compare(
            f"evaluation of a feature: {what}", some, ours, by_sdk, bar=bar, same=same, turns=turns
        )
        say(f"{what}: {figure.figure:.2f} us, {figure.ratio:.1f} times the SDK's speed")
        figures.append(figure)
    return figures


def _compare(
    what: str,
    asked: Sequence[tuple[dict[str, Any], str]],
    ours: Callable[[dict[str, Any], str], Any],
    theirs: Callable[[dict[str, Any], str], Any],
    *,
    bar: float | None,
    same: bool,
    turns: int,
) -> Figure:
    def taken(one: Callable[[dict[str, Any], str], Any]) -> float:
        start = time.perf_counter()
        for attributes, key in asked:
            one(attributes, key)
        return time.perf_counter() - start

    slow, fast, ratio = alternating(lambda: taken(theirs), lambda: taken(ours), turns)
    return Figure(
        what=what,
        figure=fast / len(asked) * 1e6,
        unit="us",
        yardstick=slow / len(asked) * 1e6,
        against=f"growthbook {growthbook.__version__}, features loaded, attributes replaced",
        ratio=ratio,
        bar=None if bar is None else f">= {bar:g} times",
        met=None if bar is None else same and ratio >= bar,
        note="same answers" if same else "ANSWERS DIFFER",
    )


def _same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return all(ours[name] == theirs[name] for name in ("value", "source", "ruleId")) and ours.get(
        "experimentResult"
    ) == theirs.get("experimentResult")


def _features() -> dict[str, Any]:
    return {
        f"campaign-{i}": {
            "defaultValue": "none",
            "rules": [
                {
                    "id": f"rule-{i}",
                    "key": f"campaign-{i}",
                    "seed": f"campaign-{i}",
                    "hashAttribute": "id",
                    "hashVersion": 2,
                    "condition": {
                        "country": {"$in": ["NL", "BR", "US", "GB"]},
                        "age": {"$gte": 18 + i},
                        "tags": {"$in": ["vip", "regular"]},
                        "plan": {"$ne": "free"},
                    },
                    "variations": ["silence", "reminder", "coupon"],
                    "weights": [0.34, 0.33, 0.33],
                    "meta": [{"key": "silence"}, {"key": "reminder"}, {"key": "coupon"}],
                }
            ],
        }
        for i in range(FEATURES)
    }


def _people(rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    def pick(*values: str) -> str:
        return values[int(rng.integers(len(values)))]

    return [
        {
            "id": f"u{i:07d}",
            "country": pick("NL", "BR", "US", "FR"),
            "age": int(rng.integers(18, 80)),
            "tags": ["new", pick("vip", "regular", "guest")],
            "plan": pick("pro", "basic", "free"),
        }
        for i in range(count)
    ]
