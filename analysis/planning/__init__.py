"""Before the start: how many users, how long, how surely.

Lives here: `planning.py` (over the users there are; audience, metrics, factors, sending, past, earlier campaigns and simulation each in a
`plan_*.py`, the SQL in `planning_facts.py`; `plan_ways.py` chooses formula or simulation, `plan_allocation.py` is where bandits join),
`sizing.py` (without data; `sizing_question.py` is what it is asked), `plan_pictures.py` (power by effect, the price of looking), `plan_findings.py` (what a plan says), `plan_text.py` and `plan_words.py` (how it says it); `bandit_plan.py`
(allocation policies in a made-up world, which `bandit_inputs.py`, `bandit_arms.py` and `bandit_world.py` describe), `wave_plan.py` (as a broadcast), `bandit_text.py` and `wave_text.py` (the same in words); `bandit_trial.py` plays
the bandit of a plan.
May import: `stats/`, `facts/`. Start reading: `planning.py`.
"""
