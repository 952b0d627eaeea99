"""What is told to whoever gave a callback_url, once a single image has ended."""

from contract.cutout import PrivateFields
from contract.errors import CutoutError, ErrorCode
from contract.ledger import Ledger
from contract.storage import open_store
from producer.callbacks.delivery import Delivery
from producer.web.cutouts.resource import cutout_of, record_key


def load(ledger: Ledger, store: str, identity: str) -> Delivery | None:
    """Return the outcome and where it goes, or None where one of them is gone."""
    outcome = ledger.batches.cutout_outcome(identity)
    try:
        record = PrivateFields.model_validate_json(open_store(store).get(record_key(identity)).data)
        now = ledger.batches.progress(identity)
    except CutoutError as error:
        if error.code in {ErrorCode.OBJECT_MISSING, ErrorCode.BATCH_UNKNOWN}:
            return None
        raise
    if outcome is None or record.callback_url is None:
        return None
    return Delivery(
        record.callback_url, cutout_of(now, outcome).model_dump_json().encode(), now.spec.created
    )
