"""Lets a middleware read the status of the response that passes through it."""

from starlette.types import Message, Send


class SentStatus:
    """Passes the messages of a response on, and keeps its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        """0 until the response starts"""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)
