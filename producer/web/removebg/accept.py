"""Whether a client wants the image itself or JSON, by its Accept header."""

ANY_BYTES = frozenset({"*/*", "application/octet-stream", "binary/octet-stream"})
JSON = frozenset({"application/json", "text/json", "application/*"})


def wants_json(accept: str, content_type: str) -> bool:
    """Return whether JSON is acceptable and an output of `content_type` is not.

    Many HTTP libraries list JSON first and `*/*` last, whatever they ask for: those get the image.
    """
    ranges = _acceptable(accept)
    main_type = content_type.partition("/")[0]
    wanted = any(one in ANY_BYTES or one.startswith(("image/", main_type + "/*")) for one in ranges)
    return not wanted and content_type not in ranges and not JSON.isdisjoint(ranges)


def _acceptable(accept: str) -> set[str]:
    """Return the media ranges of an Accept header, without those of quality 0."""
    ranges = set()
    for part in accept.lower().split(","):
        media_range, *parameters = (text.strip() for text in part.split(";"))
        if not any(_is_zero(parameter) for parameter in parameters):
            ranges.add(media_range)
    return ranges


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and not value.strip().strip("0.")
