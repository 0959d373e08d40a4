"""What a variant does to a user: the message, when it goes out, and how often. Values, checked when they are made."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from experiments.metrics import KEY_PATTERN
from experiments.send_times import Frequency, SendTime

LANGUAGE_PATTERN: Final = r"^[a-z]{2,3}(_[A-Za-z]{2,4})?$"
TEMPLATE_PATTERN: Final = r"^[a-z0-9_]{1,512}$"
_LINK: Final = r"^https?://[^\s/]+(/\S*)?$"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Language = Annotated[str, Field(pattern=LANGUAGE_PATTERN)]


def _kind_of_parameters(value: object) -> str | None:
    if isinstance(value, list | tuple):
        return _LIST
    return _OBJECT if isinstance(value, Mapping) else None


_LIST: Final = "list[str]"
_OBJECT: Final = "dict[str]"
# Which of the two is meant is plain to see, so that what is wrong with it is told once.
Parameters = Annotated[
    Annotated[tuple[str, ...], Field(max_length=50), Tag(_LIST)]
    | Annotated[dict[str, str], Field(max_length=50), Tag(_OBJECT)],
    Discriminator(
        _kind_of_parameters,
        custom_error_type="parameters",
        custom_error_message="is neither a list (by order) nor an object (by name)",
    ),
]


class Header(_Value):
    """What fills the header of a template: a text, or the address of a picture, a video or a document. Exactly one.

    `name` is what the template calls the header's variable, where it names its variables.
    """

    text: str | None = Field(None, max_length=2000)
    name: str | None = Field(None, pattern=r"^[a-z][a-z0-9_]{0,99}$")
    image: str | None = Field(None, max_length=2000, pattern=_LINK)
    video: str | None = Field(None, max_length=2000, pattern=_LINK)
    document: str | None = Field(None, max_length=2000, pattern=_LINK)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(value is not None for value in (self.text, self.image, self.video, self.document)) != 1:
            raise ValueError("give exactly one of text, image, video, document")
        if self.name is not None and self.text is None:
            raise ValueError("`name` is for a `text`")
        return self


class Button(_Value):
    """What fills a button of a template: `payload` of a quick reply, or the `code` (a template) of a button that copies it.

    `index` is the button's place in the template, from 0. The button with an address is `link`.
    """

    type: Literal["quick_reply", "copy_code"]
    index: int = Field(ge=0, le=9, strict=True)
    payload: str | None = Field(None, min_length=1, max_length=128)
    code: str | None = Field(None, min_length=1, max_length=2000)

    @model_validator(mode="after")
    def _says_its_own(self) -> Self:
        wanted = "payload" if self.type == "quick_reply" else "code"
        other = "code" if wanted == "payload" else "payload"
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"a {self.type} button has a `{wanted}`, and no `{other}`")
        return self


class MessageContent(_Value):
    """What is sent: a template with its parameters, a free text, or both.

    A free text may only go out within 24 hours of the user's last message to us. With both, the text goes out then, the
    template otherwise. `language` is that of the template; where the user's locale fits one of `languages` better, the
    message is sent in that. `parameters` fill the body in order, or by name where the template has names. `link` is where
    the click token of the template's URL button leads (`link_index`: the button's place).
    """

    template: str | None = Field(
        None, pattern=TEMPLATE_PATTERN, description="Name of an approved WhatsApp template"
    )
    language: Language | None = Field(None, description="Language code of the template, such as en_US")
    languages: tuple[Language, ...] = Field(
        (), max_length=50, description="Other languages in which the template is approved"
    )
    header: Header | None = None
    parameters: Parameters = ()
    buttons: tuple[Button, ...] = Field((), max_length=10)
    link: str | None = Field(None, max_length=2000, pattern=_LINK)
    link_index: int = Field(0, ge=0, le=9, strict=True)
    text: str | None = Field(None, min_length=1, max_length=4096)

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if self.template is None and self.text is None:
            raise ValueError("give a `template` with its `language`, or a `text`")
        if (self.template is None) != (self.language is None):
            raise ValueError("`template` and `language` belong together")
        if self.template is None and (
            self.languages or self.header or self.parameters or self.buttons or self.link
        ):
            raise ValueError("a message of text alone has no languages, header, parameters, buttons or link")
        return self

    def sources(self) -> dict[str, str]:
        """Everything in it that is rendered for each user: the path of the field below `message` -> its Jinja2 source."""
        found: dict[str, str] = {}
        if self.header is not None and self.header.text is not None:
            found["header.text"] = self.header.text
        if isinstance(self.parameters, dict):
            found |= {f"parameters.{name}": source for name, source in self.parameters.items()}
        else:
            found |= {f"parameters[{index}]": source for index, source in enumerate(self.parameters)}
        found |= {
            f"buttons[{index}].code": button.code
            for index, button in enumerate(self.buttons)
            if button.code is not None
        }
        if self.text is not None:
            found["text"] = self.text
        return found


class Treatment(_Value):
    """What may differ between variants. Without `message` it is silence."""

    message: MessageContent | None = None
    send_time: SendTime | None = None
    frequency: Frequency | None = None


class Variant(Treatment):
    """One treatment. Without `message` it is a holdout arm: assigned, never messaged.

    `levels` says which level of each factor it is, where variants were made by crossing factors.
    """

    key: str = Field(pattern=KEY_PATTERN)
    control: bool = Field(False, strict=True)
    weight: float = Field(1.0, gt=0, le=1e6, strict=True, allow_inf_nan=False)
    levels: dict[str, str] = {}

    @model_validator(mode="after")
    def _silence_has_no_schedule(self) -> Self:
        if self.message is None and (self.send_time or self.frequency):
            raise ValueError("`send_time` and `frequency` need a `message`; a silent arm has neither")
        return self

    @property
    def steps(self) -> int:
        """Messages for each occasion; 0 for silence."""
        if self.message is None:
            return 0
        return self.frequency.steps if self.frequency else 1
