"""Features as every GrowthBook SDK evaluates them: contexts and results of the SDK specification. Pure.

`evaluating.py` is the way in; `rules.py` compiles a feature, `experiments.py` and `runs.py` an experiment, `hashing.py` who
falls where; `sticky_buckets.py`, `urls.py` and `bandits.py` are what an SDK can do beside that. Which experiments of ours are
features is said in `targeting/payload.py`.
May import: `targeting.conditions`, `targeting.bucketing`. Start reading: `evaluating.py`.
"""

from targeting.features.evaluating import Features, compile_features, evaluate, run

__all__ = ["Features", "compile_features", "evaluate", "run"]
