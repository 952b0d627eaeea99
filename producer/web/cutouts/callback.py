"""The callback of a cutout: its URL and its body."""

from contract.errors import CutoutError, ErrorCode
from contract.ledger import Ledger
from contract.storage import open_store
from producer.callbacks.delivery import Delivery
from producer.web.cutouts.private_fields import get_private_fields
from producer.web.cutouts.resource import cutout_resource


def load_delivery(ledger: Ledger, store: str, cutout_id: str) -> Delivery | None:
    """Return what to deliver to a cutout's callback URL, or None if the cutout was deleted.

    `store`: location of the server's own store.
    """
    outcome = ledger.cutouts.outcome(cutout_id)
    try:
        progress = ledger.batches.progress(cutout_id)
        fields = get_private_fields(open_store(store), cutout_id)
    except CutoutError as error:
        if error.code in {ErrorCode.OBJECT_MISSING, ErrorCode.BATCH_UNKNOWN}:
            return None
        raise
    if outcome is None or fields.callback_url is None:
        return None
    body = cutout_resource(progress, outcome).model_dump_json().encode()
    return Delivery(fields.callback_url, body, progress.spec.created)
