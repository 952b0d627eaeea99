from contract.rendition import Rendition
from producer.web.removebg.body import form_of_json
from producer.web.removebg.parameters import parse


def test_json_means_the_same_as_a_form():
    """What the npm package `remove.bg` 1.3.0 sends of a URL; JSON leaves undefined ones out."""
    body = {"size": "preview", "type": "auto", "crop": False, "image_url": "https://e.com/a.jpg"}
    request = parse(form_of_json(body | {"bg_color": None}))
    assert (request.source, request.rendition) == ("image_url", Rendition(size=0.25))
    assert form_of_json({"crop": True, "shadow_opacity": 50}) == {
        "crop": "true",
        "shadow_opacity": "50",
    }
