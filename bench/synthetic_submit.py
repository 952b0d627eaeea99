"""Registers a batch of COUNT photographs that do not exist, and prints its ID.

usage: synthetic_submit.py COUNT DESTINATION     (CUTOUT_REDIS_URL must be set)

Only the listing is invented; manifest, collision check and ledger are the product's own.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import recipe_for
from contract.settings import settings
from contract.storage import ObjectInfo
from producer.batches import register


def photographs(count: int) -> Iterator[ObjectInfo]:
    for number in range(count):
        key = f"catalogue/{number // 1000:06d}/product-{number:09d}-front.jpg"
        yield ObjectInfo(key, 3_456_789 + number, f'"{number:032x}"')


def main(count: int, destination: str) -> None:
    source = Path(destination, "source")
    source.mkdir(parents=True, exist_ok=True)
    register.listing = lambda *_: photographs(count)  # type: ignore[assignment,return-value]
    ledger = RedisLedger(settings().require_redis_address())
    recipe = recipe_for(settings().model)
    print(register.register(ledger, str(source), f"{destination}/out", recipe).id)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
