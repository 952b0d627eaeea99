"""Errors in remove.bg's format: `{"errors": [{"title": ..., "code": ..., "detail": ...}]}`."""

ErrorBody = dict[str, list[dict[str, str]]]

UNKNOWN_FOREGROUND = ("unknown_foreground", "Could not identify foreground in image.")
DOWNLOAD_FAILED = ("failed_image_download", "Failed to download given URL")
UNKNOWN_ERROR = ("unknown_error", "An unknown error happened.")


def error_body(code: str, title: str, detail: str) -> ErrorBody:
    """Return the JSON of an error."""
    return {"errors": [{"title": title, "code": code, "detail": detail}]}


class RemoveBgError(Exception):
    """A request that is refused with status 400 and `body`."""

    status = 400

    def __init__(self, code: str, title: str, detail: str) -> None:
        super().__init__(code, title, detail)
        self.code = code
        self.body = error_body(code, title, detail)
