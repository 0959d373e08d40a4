"""What travels over HTTP about conditions."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from targeting.condition_reading import Reading


class ConditionRequest(BaseModel):
    """A condition as JSON, or as text: one of the two."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    condition: dict[str, Any] | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.condition is None) is (self.text is None):
            raise ValueError(
                'send either a condition such as {"country": "NL"} or a text such as country = "NL"'
            )
        return self

    @property
    def sent(self) -> dict[str, Any]:
        """What was sent, and the name of its field."""
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
