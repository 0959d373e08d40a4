"""Documents as the API gives them: a report that has an answer, and one that has none yet."""

from typing import Any


def interval(estimate: float, lower: float, upper: float) -> dict[str, float]:
    return {"estimate": estimate, "lower": lower, "upper": upper}


def effect(variant: str, **given: Any) -> dict[str, Any]:
    unknown = {
        "absolute": None,
        "relative": None,
        "p_value": None,
        "adjusted_p_value": None,
        "significant": None,
        "variance_reduction": None,
        "bayes": None,
        "cace": None,
        "guardrail": None,
    }
    return {"variant": variant, "control": "silence", **unknown, **given}


def arm(variant: str, assigned: int, **messages: Any) -> dict[str, Any]:
    counts = {"accepted": 0, "delivered": 0, "read": 0, "clicked": 0, "suppressed": {}, **messages}
    return {
        "variant": variant,
        "control": variant == "silence",
        "assigned": assigned,
        "mature": assigned,
        "messages": counts,
    }


def srm(
    stage: str, *, ok: bool | None = True, p_value: float | None = 0.56, detail: str = ""
) -> dict[str, Any]:
    return {"check": "srm", "stage": stage, "p_value": p_value, "ok": ok, "detail": detail}


def experiment(
    key: str = "spring-wakeup",
    *,
    status: str = "running",
    name: str = "Wake up customers who have gone quiet",
) -> dict[str, Any]:
    started = None if status == "draft" else "2026-12-01T10:00:00Z"
    return {
        "key": key,
        "name": name,
        "hypothesis": "A coupon brings back more buyers than a reminder, and both more than silence",
        "category": "marketing",
        "status": status,
        "created_at": "2026-11-28T09:00:00Z",
        "updated_at": "2026-12-01T10:00:00Z",
        "started_at": started,
        "stopped_at": "2026-12-15T10:00:00Z" if status == "stopped" else None,
        "design": {
            "key": key,
            "variants": [
                {"key": "silence", "control": True, "weight": 1, "message": None},
                {"key": "reminder", "weight": 1, "message": {"template": "spring_reminder"}},
                {"key": "coupon", "weight": 1, "message": {"template": "spring_coupon"}},
            ],
            "metrics": [
                {"key": "visited", "role": "primary", "kind": "proportion", "direction": "increase"},
                {"key": "spend", "role": "secondary", "kind": "mean", "direction": "increase"},
                {
                    "key": "opted_out",
                    "role": "guardrail",
                    "kind": "proportion",
                    "direction": "decrease",
                    "margin": 0.002,
                },
            ],
        },
    }


def winning_report() -> dict[str, Any]:
    """Three arms in which the coupon wins; its numbers are those of a campaign of 64,000 people."""
    return {
        "experiment": "spring-wakeup",
        "as_of": "2026-12-15T10:00:00Z",
        "method": "spending",
        "alpha": 0.05,
        "arms": [
            arm("silence", 21306),
            arm(
                "reminder",
                21387,
                accepted=20108,
                delivered=18911,
                read=12230,
                clicked=3101,
                suppressed={"cap": 1071, "consent": 208},
            ),
            arm(
                "coupon",
                21307,
                accepted=20011,
                delivered=18840,
                read=13009,
                clicked=3909,
                suppressed={"cap": 1090, "consent": 206},
            ),
        ],
        "health": [
            srm("assigned", detail="21306 : 21387 : 21307 for 1 : 1 : 1"),
            srm("accepted", p_value=0.62, detail="20108 : 20011 for 21387 : 21307"),
            srm("delivered", p_value=0.71),
            srm("read", ok=False, p_value=0.0000004, detail="12230 : 13009"),
        ],
        "metrics": [
            {
                "metric": "visited",
                "kind": "proportion",
                "role": "primary",
                "arms": [
                    {"variant": "silence", "n": 21306, "mean": 0.10617, "sd": 0.30806},
                    {"variant": "reminder", "n": 21387, "mean": 0.15140, "sd": 0.35845},
                    {"variant": "coupon", "n": 21307, "mean": 0.18276, "sd": 0.38648},
                ],
                "effects": [
                    effect(
                        "reminder",
                        absolute=interval(0.04523, 0.03889, 0.05157),
                        relative=interval(0.42603, 0.3567, 0.4953),
                        p_value=1e-44,
                        adjusted_p_value=1e-44,
                        significant=True,
                        bayes={"probability_better": 1.0, "expected_loss": 0.0},
                    ),
                    effect(
                        "coupon",
                        absolute=interval(0.07658956, 0.06995315, 0.08322598),
                        relative=interval(0.7214, 0.6467, 0.7961),
                        p_value=1e-112,
                        adjusted_p_value=2e-112,
                        significant=True,
                        variance_reduction=0.12,
                        bayes={"probability_better": 1.0, "expected_loss": 0.0},
                    ),
                ],
            },
            {
                "metric": "spend",
                "kind": "mean",
                "role": "secondary",
                "arms": [
                    {"variant": "silence", "n": 21306, "mean": 0.65279, "sd": 11.59},
                    {"variant": "reminder", "n": 21387, "mean": 1.07720, "sd": 15.10},
                    {"variant": "coupon", "n": 21307, "mean": 0.55, "sd": 17.75},
                ],
                "effects": [
                    effect(
                        "reminder",
                        absolute=interval(0.42441222, 0.16895679, 0.67986764),
                        relative=interval(0.6501, 0.2134, 1.0868),
                        p_value=0.00112,
                        adjusted_p_value=0.00224,
                        significant=True,
                        bayes={"probability_better": 0.9994, "expected_loss": 0.0},
                    ),
                    effect(
                        "coupon",
                        absolute=interval(-0.10279, -0.38728, 0.1817),
                        relative=interval(-0.1575, -0.5736, 0.2586),
                        p_value=0.478,
                        adjusted_p_value=0.478,
                        significant=False,
                        bayes={"probability_better": 0.239, "expected_loss": 0.11},
                    ),
                ],
            },
            {
                "metric": "opted_out",
                "kind": "proportion",
                "role": "guardrail",
                "arms": [
                    {"variant": "silence", "n": 21306, "mean": 0.0004, "sd": 0.02},
                    {"variant": "reminder", "n": 21387, "mean": 0.0011, "sd": 0.033},
                    {"variant": "coupon", "n": 21307, "mean": 0.0013, "sd": 0.036},
                ],
                "effects": [
                    effect(
                        "reminder",
                        absolute=interval(0.0007, 0.00018, 0.00122),
                        relative=None,
                        p_value=0.008,
                        adjusted_p_value=0.008,
                        significant=True,
                        guardrail={"margin": 0.002, "non_inferior": True, "breached": False},
                    ),
                    effect(
                        "coupon",
                        absolute=interval(0.0009, 0.0003, 0.0015),
                        relative=None,
                        p_value=1e-9,
                        adjusted_p_value=1e-9,
                        significant=True,
                        guardrail={"margin": 0.002, "non_inferior": True, "breached": False},
                    ),
                ],
            },
        ],
        "decision": {
            "action": "ship",
            "variant": "coupon",
            "because": "coupon beats silence on visited at the planned end, and beats every other variant.",
        },
        "warnings": ["opted_out: no relative effect, because silence is within 3 standard errors of 0"],
    }


def early_report() -> dict[str, Any]:
    """The first hours: users are assigned, and nothing can be told."""
    return {
        "experiment": "spring-wakeup",
        "as_of": "2026-12-01T12:30:00Z",
        "method": "spending",
        "alpha": 0.05,
        "arms": [arm("silence", 41), arm("reminder", 39), arm("coupon", 44)],
        "health": [srm("assigned", p_value=None, detail="cannot tell: 41, 39, 44 users are too few")],
        "metrics": [
            {
                "metric": "visited",
                "kind": "proportion",
                "role": "primary",
                "arms": [
                    {"variant": name, "n": 0, "mean": None, "sd": None}
                    for name in ("silence", "reminder", "coupon")
                ],
                "effects": [effect("reminder"), effect("coupon")],
            }
        ],
        "decision": {"action": "continue", "variant": None, "because": "no user's window has closed"},
        "warnings": ["visited: no user of any arm has a closed window of 7 days"],
    }


def card(key: str = "spring-wakeup", **changes: Any) -> dict[str, Any]:
    """An experiment as `GET /v1/overview` lists it, with what its newest report says."""
    report = winning_report()
    return {
        "key": key,
        "name": "Wake up customers who have gone quiet",
        "status": "running",
        "category": "marketing",
        "policy": "fixed",
        "created_at": "2026-11-28T09:00:00Z",
        "started_at": "2026-12-01T10:00:00Z",
        "stopped_at": None,
        "held_at": None,
        "shipped": None,
        "stopped_variants": [],
        "report": {
            "id": 7,
            "as_of": report["as_of"],
            "method": report["method"],
            "alpha": report["alpha"],
            "arms": report["arms"],
            "health": report["health"],
            "metrics": [report["metrics"][0] | {"direction": "increase"}],
            "decision": report["decision"],
        },
        "report_old": False,
        **changes,
    }


def overview(**changes: Any) -> dict[str, Any]:
    """`GET /v1/overview` of an installation with one experiment and nothing wrong."""
    return {
        "at": "2026-12-15T10:30:00Z",
        "alerts": [],
        "alerts_left_out": 0,
        "live": [card()],
        "not_looked_at": 0,
        "counts": {"running": 1, "draft": 2},
        "delivery": {
            "at": "2026-12-15T10:30:00Z",
            "messages": 1234,
            "people": 1000,
            "people_limit": 2000,
            "marketing": {"day": None, "week": 3, "month": None, "min_interval": None},
            "due": 40,
            "oldest_due": None,
            "workers": 1,
            "quality": "GREEN",
            "paused": False,
        },
        **changes,
    }


def traffic(**changes: Any) -> dict[str, Any]:
    """`GET ../allocation` of a bandit that has moved once."""

    def told(users: int, p_best: float | None, weight: float, new: float | None) -> dict[str, Any]:
        return {
            "users": users,
            "conversions": users // 10,
            "mean": 0.1,
            "sd": 0.01,
            "p_best": p_best,
            "weight": weight,
            "new_weight": new,
        }

    return {
        "experiment": "spring-wakeup",
        "policy": {"policy": "thompson", "metric": "visited", "interval": "1d"},
        "weights": {"silence": 0.05, "coupon": 0.95},
        "active": ["silence", "coupon"],
        "silenced": ["reminder"],
        "stopped": {"reminder": {"guard": "opted_out", "at": "2026-12-02T10:00:00Z", "reason": "harm", "share": 0.3}},
        "guards": [
            {
                "variant": "coupon",
                "guard": "opted_out",
                "margin": 0.01,
                "users": 400,
                "harmed": 8,
                "control_users": 200,
                "control_harmed": 1,
                "log_e": 3.0,
                "needed": 6.0,
            }
        ],
        "held_at": None,
        "released": None,
        "next_due_at": "2026-12-04T10:00:00Z",
        "epochs": [
            {"number": 2, "weights": {"silence": 0.05, "coupon": 0.95}, "opened_at": "2026-12-03T10:00:00Z", "reason": "moved"},
            {"number": 1, "weights": {"silence": 0.5, "coupon": 0.5}, "opened_at": "2026-12-01T10:00:00Z", "reason": "start"},
        ],
        "reallocations": [
            {
                "slot": 2,
                "at": "2026-12-03T10:00:00Z",
                "outcome": "moved",
                "reason": "coupon is the best",
                "epoch": 2,
                "numbers": {"arms": {"silence": told(100, 0.01, 0.5, 0.05), "coupon": told(110, 0.99, 0.5, 0.95)}},
            },
            {"slot": 1, "at": "2026-12-02T10:00:00Z", "outcome": "skipped", "reason": "too thin", "epoch": 1, "numbers": {}},
        ],
        **changes,
    }  # fmt: skip
