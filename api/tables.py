"""Every table of every floor, registered on one metadata; migrations and tests are built from it."""

from typing import Final

from sqlalchemy import MetaData
from sqlmodel import SQLModel

import analysis.bandits.models
import analysis.reports.models
import api.models
import delivery.models
import experiments.audit
import experiments.models
import targeting.models

TABLE_MODULES: Final = (
    experiments.models,
    experiments.audit,
    targeting.models,
    delivery.models,
    analysis.reports.models,
    analysis.bandits.models,
    api.models,
)
metadata: Final[MetaData] = SQLModel.metadata
