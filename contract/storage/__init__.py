"""Object storage behind one small Protocol: a bucket prefix or a folder."""

from contract.storage.base import Blob, ObjectHead, ObjectInfo, Store
from contract.storage.open import canonical_location, open_store

__all__ = ["Blob", "ObjectHead", "ObjectInfo", "Store", "canonical_location", "open_store"]
