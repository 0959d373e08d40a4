"""A message makes people visit by its link: a world that hopes for more is refused."""

import pytest

from delivery.simulator.config import SimulatorConfig
from delivery.simulator.loading import read_templates
from experiments.errors import Invalid

BODY = {"type": "BODY", "text": "Hi."}


def world(url=None, *, visit=0.3, groups=None):
    buttons = [] if url is None else [{"type": "URL", "text": "Shop", "url": url}]
    components = [BODY, {"type": "BUTTONS", "buttons": buttons}] if buttons else [BODY]
    behaviour = {"silence": {"visit": 0.1}, "templates": {"t": {"visit": visit}}, "groups": groups or {}}
    return {
        "behaviour": behaviour,
        "templates": [{"name": "t", "language": "en_US", "components": components}],
    }


@pytest.mark.parametrize("url", [None, "https://shop.example/spring"])
def test_nobody_visits_by_a_template_without_a_link_of_ours(url):
    with pytest.raises(Invalid) as error:
        read_templates(world(url), SimulatorConfig())
    assert str(error.value).startswith(
        "behaviour.templates.t.visit: must not be above that of silence (0.1): the template has no button"
    )


def test_a_group_is_named():
    groups = {"loyal": {"templates": {"t": {"visit": 0.5}}}}
    with pytest.raises(Invalid) as error:
        read_templates(world(visit=0.1, groups=groups), SimulatorConfig())
    assert [each.field for each in error.value.problems] == ["behaviour.groups.loyal.templates.t.visit"]


def test_a_link_or_a_message_that_keeps_people_away_is_fine():
    assert read_templates(world("https://shop.example/r/{{1}}"), SimulatorConfig())
    assert read_templates(world(visit=0.05), SimulatorConfig())
    assert read_templates({"behaviour": world()["behaviour"]}, SimulatorConfig())
