from analysis.bandits.words import told


def arm(**changes):
    return {
        "active": True, "pinned": False, "weight": 0.5, "new_weight": None, "users": 200, "conversions": 12,
        "effective_n": 180.0, "mean": 0.06, "sd": 0.017, "p_best": None,
    } | changes  # fmt: skip


def test_a_variant_without_new_users_says_who_took_them_away():
    numbers = {
        "experiment": "spring",
        "stopped": ["voucher"],
        "arms": {"silence": arm(), "voucher": arm(active=False), "coupon": arm(active=False)},
    }
    _, silence, voucher, coupon = told("skipped", "too thin", numbers)
    assert silence.endswith("(worth 180 watched users)")
    assert voucher.endswith("; stopped by a guardrail, gets nobody new")
    assert coupon.endswith("; retired, gets nobody new")


def test_slots_from_before_stopped_variants_were_kept_are_still_told():
    assert told("moved", "so", {"experiment": "spring", "arms": {"coupon": arm(active=False)}})[1].endswith(
        "; retired, gets nobody new"
    )
