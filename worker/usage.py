"""What an attempt uses: CPU time, requests and bytes."""

import time
from dataclasses import dataclass, field

from contract.storage.request_count import requests_sent


@dataclass
class Usage:
    """From its creation on, of this process: a child processes one image at a time."""

    bytes_read: int = 0
    """of the photograph"""
    bytes_written: int = 0
    """of the output"""
    _cpu: float = field(default_factory=time.process_time)
    _requests: int = field(default_factory=requests_sent)

    def fields(self) -> dict[str, int]:
        """Return the fields of an Outcome that say what was used until now."""
        return {
            "cpu_ms": round((time.process_time() - self._cpu) * 1000),
            "s3_requests": requests_sent() - self._requests,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
        }
