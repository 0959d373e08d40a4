"""What travels over HTTP about conditions."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from experiments.errors import Invalid
from targeting.segments.condition_reading import Reading


class ConditionRequest(BaseModel):
    """A condition as JSON, or as text: one of the two."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    condition: dict[str, Any] | None = None
    text: str | None = None

    @property
    def sent(self) -> dict[str, Any]:
        """What was sent, and the name of its field. Raises Invalid when it is none or both."""
        if (self.condition is None) is (self.text is None):
            raise Invalid(
                'send either a condition such as {"country": "NL"}, or a text such as country = "NL"',
                field="condition",
            )
        if self.condition is None:
            return {"condition": self.text, "field": "text"}
        return {"condition": self.condition, "field": "condition"}


class ConditionAnswer(BaseModel):
    """One condition as JSON, as text that can be sent back, and in plain English. Warnings do not keep it from being used."""

    model_config = ConfigDict(frozen=True)

    condition: dict[str, Any]
    text: str
    english: str
    warnings: list[str]

    @classmethod
    def of(cls, reading: Reading) -> Self:
        return cls(
            condition=reading.condition,
            text=reading.text,
            english=reading.english,
            warnings=list(reading.warnings),
        )
