"""Deletes a cutout, and its objects in the server's own store."""

from contract import names
from contract.batch import BatchSpec
from contract.output_keys import cutout_output_key
from producer.web.context import Context
from producer.web.cutouts.private_fields import private_fields_key, upload_key


def delete(context: Context, spec: BatchSpec) -> None:
    """Delete a cutout; if it has not ended, it is not processed any more.

    Objects at a source or destination that the client named are kept, also in that store.
    """
    cutout_id, cutout = spec.id, spec.cutout
    context.records.delete(cutout_id)  # first, or a server that dies here would leave it to return
    context.ledger.batches.cancel(cutout_id)
    own_keys, output_keys = {private_fields_key(cutout_id)}, set[str]()
    if cutout and cutout.photograph.key.startswith(upload_key(cutout_id)):
        own_keys.add(cutout.photograph.key)
    if cutout and cutout.backdrop:  # never named by the client
        own_keys.add(cutout.backdrop.key)
    if cutout and names.is_cutout_result_key(cutout_id, cutout.destination_key):
        output_keys = {
            cutout_output_key(cutout.destination_key, spec.recipe, rendition)
            for rendition in spec.recipe.outputs
        }
    for key in own_keys | output_keys:
        context.open_store().delete(key)
    context.ledger.batches.forget(cutout_id)
    context.records.delete(cutout_id)  # it may have been moved between the two
    for key in output_keys:
        # A worker may have written the image between the deletion and `forget`. A worker that
        # finishes after `forget` finds the cutout deleted and deletes the image itself.
        context.open_store().delete(key)
