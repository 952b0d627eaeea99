"""Object storage behind one small Protocol: a bucket prefix or a folder."""

from contract.storage.locations import canonical_location, open_store, split_object
from contract.storage.protocol import Blob, ListPage, ObjectHead, ObjectInfo, Store

__all__ = [
    "Blob",
    "ListPage",
    "ObjectHead",
    "ObjectInfo",
    "Store",
    "canonical_location",
    "open_store",
    "split_object",
]
