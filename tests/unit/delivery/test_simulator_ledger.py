"""Every POST, every acceptance and every end is in the ledger, page by page."""

from delivery.simulator.ledger import Accepted, Ledger


def test_doubles_losses_and_ends_can_be_counted():
    ledger = Ledger()
    for data, wamids in (("a", ("1",)), ("b", ("2", "3")), (None, ("4",)), (None, ()), ("c", ())):
        for number in range(max(1, len(wamids))):
            _, entry = ledger.post(data)
            if wamids:
                ledger.accept(entry, Accepted(wamids[number], unanswered=wamids[number] == "3"))
            else:
                entry.refuse("131049")
    ledger.find("a").messages[0].reach("read", None)
    ledger.find("a").messages[0].reach("delivered", None)
    ledger.find("b").messages[0].reach("failed", 131026)
    first = ledger.page(0, 2)
    assert first["totals"] == {
        "entries": 5,
        "posts": 6,
        "accepted": 4,
        "doubled": 1,
        "unanswered": 1,
        "states": {"read": 1, "failed": 1, "accepted": 2},
    }
    assert first["data"][0]["messages"] == [
        {"wamid": "1", "state": "read", "code": None, "unanswered": False}
    ]
    second, third = ledger.page(first["next"], 2), ledger.page(4, 2)
    entries = [*first["data"], *second["data"], *third["data"]]
    assert [entry["callback_data"] for entry in entries] == ["a", "b", None, None, "c"]
    assert [(entry["posts"], entry["accepted"]) for entry in entries] == [
        (1, 1),
        (2, 2),
        (1, 1),
        (1, 0),
        (1, 0),
    ]
    assert entries[1]["messages"][0] == {"wamid": "2", "state": "failed", "code": 131026, "unanswered": False}
    assert entries[4]["refused"] == {"131049": 1}
    assert third["next"] is None
    assert "totals" not in second
    assert (ledger.most_posts, ledger.most_accepted) == (2, 2)
    assert ledger.find("d") is None
