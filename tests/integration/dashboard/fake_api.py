"""An API that answers from memory, for what the real one seldom says: it is broken, it knows more than we do, its numbers are chosen."""

from dataclasses import dataclass, field
from typing import Any

from tests.unit.dashboard import samples

KEYS = {"Bearer ts_writer": True, "Bearer ts_reader": False}
NEXT = {"start": "running", "pause": "paused", "resume": "running", "stop": "stopped"}
OUTBOX = {"states": {"planned": 40, "failed": 12}, "reasons": {}, "experiments": [], "holds": True}


@dataclass
class FakeApi:
    """Answers from memory; `broken` is the status of every answer while it is set."""

    experiments: list[dict[str, Any]] = field(default_factory=list)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    outbox: dict[str, Any] = field(default_factory=lambda: dict(OUTBOX))
    overview: dict[str, Any] = field(default_factory=lambda: samples.overview(live=[]))
    broken: int | None = None
    moves: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, key: str | None) -> tuple[int, Any]:
        self.asked.append(path)
        if self.broken:
            return problem(self.broken, "the database is busy or cannot be reached; try again")
        if key not in KEYS:
            return problem(401, "this key is not known")
        if path == "/v1/experiments":
            return 200, {"items": self.experiments, "next_cursor": None}
        if path == "/v1/overview":
            return 200, self.overview
        if path == "/v1/overview/experiments":
            cards = [self.card(item) for item in self.experiments]
            return 200, {"items": cards, "next_cursor": None, "counts": {}}
        if path == "/v1/keys/self":
            return 200, {"prefix": "a", "name": key, "scopes": ["read", "write"] if KEYS[key] else ["read"]}
        if path == "/v1/delivery/summary":
            return 200, self.outbox
        _, _, _, name, *action = path.split("/")
        if method == "POST" and not KEYS[key]:
            return problem(403, "this key may not do that: it lacks the scope write")
        found = next((item for item in self.experiments if item["key"] == name), None)
        if found is None:
            return problem(404, f"there is no experiment {name!r}")
        if method == "POST":
            return self.move(found, action[0])
        if action == ["enrolment"]:
            return 200, {"assigned": 64000, "excluded": {"consent": 300}}
        if action == ["report"]:
            report = self.reports.get(name)
            return (200, report) if report else problem(409, "nobody has been assigned yet")
        return 200, found

    def card(self, found: dict[str, Any]) -> dict[str, Any]:
        shown = {name: found[name] for name in ("key", "name", "status", "started_at")}
        report = self.reports.get(found["key"])
        if report:
            primary = report["metrics"][0] | {"direction": "increase"}
            report = report | {"metrics": [primary]}
        return samples.card(**shown, report=report)

    def move(self, found: dict[str, Any], move: str) -> tuple[int, Any]:
        if move == "start" and found["key"] == "nobody":
            return problem(409, "nobody is in the audience", "audience")
        self.moves.append(f"{move} {found['key']}")
        found["status"] = NEXT[move]
        return 200, found


def problem(status: int, detail: str, *fields: str) -> tuple[int, Any]:
    errors = [{"field": name, "message": detail} for name in fields]
    return status, {
        "type": "about:blank",
        "title": "No",
        "status": status,
        "detail": detail,
        "errors": errors,
    }
