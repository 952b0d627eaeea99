"""Private fields of cutouts (`PrivateFields`), stored in the server's own store, never in Redis."""

from contract.cutout import PrivateFields, stored_private_fields
from contract.storage import Store


def private_fields_key(cutout_id: str) -> str:
    """Return the key of a cutout's private fields in the server's own store."""
    return f"private/{cutout_id}.json"


def upload_key(cutout_id: str, suffix: str = "") -> str:
    """Return the key of an uploaded photograph, in the server's own store."""
    return f"uploads/{cutout_id}{suffix}"


def backdrop_key(cutout_id: str) -> str:
    """Return the key of an uploaded image behind the subject, in the server's own store."""
    return f"uploads/{cutout_id}-backdrop"


def put_private_fields(store: Store, cutout_id: str, fields: PrivateFields) -> None:
    body = fields.model_dump_json().encode()
    store.put(private_fields_key(cutout_id), body, "application/json")


def get_private_fields(store: Store, cutout_id: str) -> PrivateFields:
    """Read a cutout's private fields. Raises PermanentError (`object_missing`, `newer_release`)."""
    return stored_private_fields(store.get(private_fields_key(cutout_id)).data, cutout_id)
