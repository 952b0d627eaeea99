"""Deletes a cutout, and its objects in the server's own store."""

from contract import names
from contract.batch import BatchSpec
from contract.output_keys import cutout_output_key
from producer.dispatch.cutouts import KEPT_SECONDS
from producer.web.context import Context
from producer.web.cutouts.private_fields import private_fields_key, upload_key


def delete(context: Context, spec: BatchSpec) -> None:
    """Delete a cutout; if it has not ended, it is not processed any more.

    Objects at a source or destination that the client named are kept, also in that store. Whatever
    fails, the call can be repeated: Redis forgets the cutout last.
    """
    cutout_id, cutout = spec.id, spec.cutout
    # First: from here on, whoever moves the record deletes it.
    context.ledger.batches.mark_deleted(cutout_id)
    context.records.delete(cutout_id)
    context.ledger.batches.cancel(cutout_id)
    # From here on, no worker can settle the image: one that finishes it deletes its output itself.
    # What was written before is deleted below.
    context.ledger.cutouts.close(cutout_id, KEPT_SECONDS)
    keys = {private_fields_key(cutout_id)}
    if cutout and cutout.photograph.key.startswith(upload_key(cutout_id)):
        keys.add(cutout.photograph.key)
    if cutout and cutout.backdrop:  # never named by the client
        keys.add(cutout.backdrop.key)
    if cutout and names.is_cutout_result_key(cutout_id, cutout.destination_key):
        keys |= {
            cutout_output_key(cutout.destination_key, spec.recipe, rendition)
            for rendition in spec.recipe.outputs
        }
    for key in keys:
        context.open_store().delete(key)
    context.ledger.batches.forget(cutout_id)
