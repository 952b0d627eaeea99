"""What each error code means, and what the user should do next.

The reference of error codes is generated from `TEXTS`. A new code needs a member of `ErrorCode`
and a row in the table of its group.
"""

from contract.error_codes import ErrorCode, Group

Texts = dict[ErrorCode, tuple[str, str]]
"""code -> (meaning, next step)"""

_IMAGE: Texts = {
    ErrorCode.EMPTY_FILE: (
        "The file has no bytes.",
        "Upload the photograph again.",
    ),
    ErrorCode.NOT_AN_IMAGE: (
        "The content of the file is not an image.",
        "Replace the file, or remove it from the source.",
    ),
    ErrorCode.UNSUPPORTED_FORMAT: (
        "The image has a format or variant that is not decoded, such as SVG or camera raw.",
        "Convert the image to JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF.",
    ),
    ErrorCode.TRUNCATED_IMAGE: (
        "The file ends before the image does.",
        "Upload the whole photograph again.",
    ),
    ErrorCode.CORRUPT_IMAGE: (
        "The image cannot be decoded.",
        "Export the photograph again.",
    ),
    ErrorCode.TOO_MANY_PIXELS: (
        "The image has more pixels than CUTOUT_MAX_PIXELS, or than its output format can hold.",
        "Shrink the image. If its limit is CUTOUT_MAX_PIXELS and memory suffices, raise that.",
    ),
    ErrorCode.TOO_MANY_BYTES: (
        "The file is larger than CUTOUT_MAX_BYTES, or the request body is larger than allowed.",
        "Shrink the file, or raise CUTOUT_MAX_BYTES if the workers have enough memory.",
    ),
    ErrorCode.NOTHING_VISIBLE: (
        "Every pixel of the photograph is transparent.",
        "Export the photograph again, with its background or without an alpha channel.",
    ),
    ErrorCode.NO_SUBJECT: (
        "No subject was found in the photograph, or in the region that the rendition names.",
        "Look at the photograph. The recipe's `policy` may deliver it if nothing is placed.",
    ),
    ErrorCode.AMBIGUOUS_SUBJECT: (
        "The network is unsure what the subject is, or where it ends.",
        "Look at the photograph; try another model, or another `policy` in the recipe.",
    ),
    ErrorCode.SUBJECT_CUT_BY_FRAME: (
        "The subject goes on outside of the photograph.",
        "Photograph it whole, or process it with another `policy` in the recipe.",
    ),
    ErrorCode.OUTPUT_TOO_LARGE: (
        "The output does not fit the `max_bytes` of its rendition, even at the lowest quality.",
        "Raise `max_bytes`, or shrink the output by `max_side`.",
    ),
    ErrorCode.PRESET_FAILED: (
        "The output does not fulfil its preset; the message names each check that failed.",
        "Use a larger or better photograph, or let the recipe's `policy` deliver it for review.",
    ),
    ErrorCode.UNSAFE_KEY: (
        "The object key is not a plain path, or the storage cannot hold a file of that name.",
        "Rename the object.",
    ),
    ErrorCode.LINK_OUTSIDE: (
        "The file is a link, or below a link, that leads out of its source or destination.",
        "Replace the link by what it leads to, or name the folder it leads to as the location.",
    ),
    ErrorCode.DUPLICATE_DESTINATION: (
        "Two photographs would be written to the same output key.",
        "Rename one of the two photographs.",
    ),
    ErrorCode.OBJECT_ARCHIVED: (
        "The object is in an archive, such as S3 Glacier, and cannot be read from there.",
        "Restore it from the archive first, then run `cutout retry` or the same batch again.",
    ),
    ErrorCode.STORAGE_REFUSED: (
        "The storage refuses the request and will again; the message names the storage's code.",
        "Look the code up in the storage's documentation; correct the object or the bucket.",
    ),
    ErrorCode.URL_REFUSED: (
        "The URL is malformed, not https, or leads to an address that is not public.",
        "Use s3:// or a public https URL, or add the host to CUTOUT_URL_ALLOWLIST.",
    ),
    ErrorCode.URL_FAILED: (
        "The server of the URL refused the request, or its certificate is not trusted.",
        "Check the URL and the response of its server.",
    ),
    ErrorCode.EXHAUSTED: (
        "Every retry failed with a temporary error; the message names the last one.",
        "Fix the cause, then run `cutout retry` or the same batch again.",
    ),
    ErrorCode.POISONED: (
        "The image crashed its worker process in three attempts and is not retried by itself.",
        "Look at the image before you retry it.",
    ),
    ErrorCode.CANCELLED: (
        "The batch was cancelled before the image was processed.",
        "Run `cutout retry` to process it after all.",
    ),
}

_INFRASTRUCTURE: Texts = {
    ErrorCode.OBJECT_MISSING: (
        "The object or its bucket does not exist.",
        "Check the bucket, and that nothing deletes objects while the batch runs.",
    ),
    ErrorCode.OBJECT_CHANGED: (
        "Another batch or program wrote the output while the image was being processed.",
        "Let one batch at a time write to a destination.",
    ),
    ErrorCode.ACCESS_DENIED: (
        "The storage accepts the credentials, but they do not allow the access.",
        "Allow the worker to read the source and to write the destination.",
    ),
    ErrorCode.INVALID_CREDENTIALS: (
        "No credentials were found, or the storage does not accept them: unknown or expired.",
        "Correct or renew the AWS credentials, check the machine's clock, and restart the process.",
    ),
    ErrorCode.WRONG_REGION: (
        "The bucket is in another region than requests are sent to, or has another endpoint.",
        "Set AWS_DEFAULT_REGION to the region of the bucket, and check AWS_ENDPOINT_URL.",
    ),
    ErrorCode.ENCRYPTION_KEY_REFUSED: (
        "The key that encrypts the object (KMS) is disabled, deleted or out of reach.",
        "Enable the key, and allow the worker to use it.",
    ),
    ErrorCode.STORAGE_UNAVAILABLE: (
        "The storage did not answer, or answered with a temporary error.",
        "Check the storage endpoint and its rate limits.",
    ),
    ErrorCode.STORAGE_FULL: (
        "No space left at the destination: its disk is full, or a quota is reached.",
        "No space left at the destination: free some, or raise the quota.",
    ),
    ErrorCode.URL_UNAVAILABLE: (
        "The server of the URL is unreachable, too slow, or answered 408, 425, 429 or 5xx.",
        "Check that the server is up, and its rate limits.",
    ),
    ErrorCode.REDIS_UNAVAILABLE: (
        "Redis did not answer, or refused the credentials.",
        "Check CUTOUT_REDIS_URL, and that Redis answers there.",
    ),
    ErrorCode.REDIS_TLS: (
        "TLS with Redis failed: untrusted certificate, wrong host, or only one side uses TLS.",
        "Check CUTOUT_REDIS_CA, and the scheme and host in CUTOUT_REDIS_URL.",
    ),
    ErrorCode.REDIS_MAXCLIENTS: (
        "Redis has, or soon will have, as many connections as its maxclients allows.",
        "Raise maxclients, and the server's limit of open files; docs/operations.md says how far.",
    ),
    ErrorCode.OUT_OF_MEMORY: (
        "The machine ran out of memory while the image was processed.",
        "Run fewer workers on the machine, or lower CUTOUT_MAX_PIXELS.",
    ),
    ErrorCode.TIME_LIMIT: (
        "Processing took longer than CUTOUT_TIME_LIMIT allows.",
        "Raise CUTOUT_TIME_LIMIT, or lower CUTOUT_MAX_PIXELS.",
    ),
    ErrorCode.PROVIDER_FAILED: (
        "The execution provider that computes the network failed: a GPU was lost, say, or is full.",
        "Read the worker's log and check the device; CUTOUT_PROVIDERS=cpu does without it.",
    ),
    ErrorCode.RELEASE_MISMATCH: (
        "A worker received a message of another release, which it cannot process.",
        "Run dispatchers and workers of one release, or stop the workers of the older one.",
    ),
    ErrorCode.INTERNAL_ERROR: (
        "An unexpected error; the log holds its traceback.",
        "Report this bug with the log of the worker or server.",
    ),
}

_COMMAND: Texts = {
    ErrorCode.INVALID_LOCATION: (
        "The location is not a folder or s3://bucket/prefix, does not exist, or is not writable.",
        "Name a folder, or s3://bucket/prefix.",
    ),
    ErrorCode.INVALID_SETTING: (
        "A setting is missing, unknown or has an invalid value.",
        "Set or correct the environment variable.",
    ),
    ErrorCode.INVALID_MANIFEST: (
        "No line of the manifest of photographs can be read; the message says why.",
        "Correct the manifest: `cutout submit --dry-run` checks it without starting anything.",
    ),
    ErrorCode.OVERLAPPING_LOCATIONS: (
        "Outputs could overwrite photographs, because the destination contains the source.",
        "Choose a destination outside the source, or in a subfolder of it.",
    ),
    ErrorCode.NOTHING_TO_DO: (
        "The source holds too few photographs: none for a batch, or too few for a calibration.",
        "Check the path; `cutout run --help` lists the formats.",
    ),
    ErrorCode.INVALID_SCHEDULE: (
        "The schedule of a batch contradicts itself, or a value is out of range.",
        "Correct the value; `cutout submit --help` describes each.",
    ),
    ErrorCode.ALREADY_RUNNING: (
        "The same command is running in another process.",
        "Wait for it, or stop it with Ctrl-C in its terminal.",
    ),
    ErrorCode.BATCH_UNKNOWN: (
        "Redis, or the destination to rebuild from, has no record of a batch with this ID.",
        "List the batches with `cutout status`. If Redis lost its data: `cutout rebuild ID DST`.",
    ),
    ErrorCode.BATCH_EXISTS: (
        "The batch to rebuild is in Redis already.",
        "Do nothing: the batch needs no rebuilding.",
    ),
    ErrorCode.BATCH_CONFLICT: (
        "The state of the batch does not allow the operation.",
        "Check the batch's state with `cutout status`.",
    ),
    ErrorCode.BATCH_PAUSED: (
        "The batch is paused: nearly all recent attempts failed with the same kind of error.",
        "Fix the cause, then run `cutout resume` or the same `cutout run` again.",
    ),
    ErrorCode.NEWER_RELEASE: (
        "The batch, cutout or file comes from a newer release, and this one cannot read it.",
        "Use the `cutout` of the newer release, and replace the processes of the older one.",
    ),
    ErrorCode.LISTING_FAILED: (
        "The source of the batch could not be listed, so none of its images was processed.",
        "Correct what the message names, and submit the batch again.",
    ),
    ErrorCode.INVALID_RECIPE: (
        "The document of a recipe is invalid; the message names the line and the field.",
        "Correct it until `cutout recipes check FILE` accepts it; see docs/recipes.md.",
    ),
    ErrorCode.RECIPE_UNKNOWN: (
        "There is neither a preset nor a file of this name.",
        "List the presets with `cutout recipes list`.",
    ),
    ErrorCode.MODEL_UNKNOWN: (
        "No model has this name.",
        "List the models with `cutout models list` or GET /v1/models.",
    ),
    ErrorCode.MODEL_MISSING: (
        "The weights of the model are not on this machine and could not be downloaded.",
        "Point CUTOUT_MODEL_SOURCE at the file, or give the machine access to one of its sources.",
    ),
    ErrorCode.MODEL_MISMATCH: (
        "The weights file differs from the official one.",
        "Delete the file, or replace it with the official one.",
    ),
    ErrorCode.PROVIDER_MISSING: (
        "A provider in CUTOUT_PROVIDERS is not installed, or does not start on this machine.",
        "Install it as docs/models.md says, or set CUTOUT_PROVIDERS=cpu.",
    ),
    ErrorCode.PROVIDER_DIFFERS: (
        "A provider computes other mattes than `cpu`, though outputs of both count as the same.",
        "Set CUTOUT_PROVIDERS=cpu on this machine, and report the CPU and the versions.",
    ),
    ErrorCode.EXPORT_UNSUPPORTED: (
        "The model cannot be exported in this format or size.",
        "Export a float model in a size that is a multiple of 32: docs/models.md.",
    ),
    ErrorCode.STACK_FAILED: (
        "A process of the local stack (Redis, dispatcher, worker) did not start, or ended.",
        "Read the log that the message names.",
    ),
    ErrorCode.WORKER_UNHEALTHY: (
        "No worker runs on this machine, or one is not ready, or its heartbeat is overdue.",
        "Read the worker's log, and restart the worker if it does not recover.",
    ),
    ErrorCode.CLOCK_SKEW: (
        "This machine's clock differs from that of Redis by more than 5 s.",
        "Synchronise the clock with NTP.",
    ),
    ErrorCode.SETTINGS_DIFFER: (
        "A setting that all processes must share differs from that of the running ones.",
        "Set the same value everywhere. To change it, stop all processes for 30 s first.",
    ),
    ErrorCode.REDIS_CLUSTER: (
        "CUTOUT_REDIS_URL names a Redis Cluster, over which Celery cannot send messages.",
        "Use one Redis server, or Sentinel with replicas.",
    ),
    ErrorCode.REDIS_EVICTION: (
        "Redis may delete keys to free memory, and with them images of a batch.",
        "Set maxmemory-policy to noeviction, and use this Redis for nothing else.",
    ),
    ErrorCode.REDIS_PERSISTENCE: (
        "Redis keeps no append-only file, so its restart loses batches.",
        "Set appendonly to yes; after a loss, run `cutout rebuild ID DST`.",
    ),
    ErrorCode.INCOMPATIBLE_VERSION: (
        "An installed package lacks a function or class that the worker needs.",
        "Install celery>=5.7,<5.8 and kombu>=5.7,<5.8.",
    ),
    ErrorCode.EXTRA_MISSING: (
        "An optional package that this needs is not installed.",
        "Install cutout-queue with that extra, for example `pip install 'cutout-queue[traces]'`.",
    ),
}

_REQUEST: Texts = {
    ErrorCode.INVALID_REQUEST: (
        "The request is malformed; the message names the field.",
        "Correct the request; /openapi.json describes it.",
    ),
    ErrorCode.REQUEST_TIMEOUT: (
        "The body of the request arrived too slowly.",
        "Send the body faster, or upload the photograph to the bucket and name its object.",
    ),
    ErrorCode.NOT_FOUND: (
        "The API has no such path, or the cutout or image does not exist.",
        "Check the path and the ID. Cutouts are kept for 7 days.",
    ),
    ErrorCode.INVALID_API_KEY: (
        "The request has no API key, or one that this server does not know.",
        "Send `Authorization: Bearer KEY`. New keys are read when `cutout serve` restarts.",
    ),
    ErrorCode.INSUFFICIENT_SCOPE: (
        "The API key lacks the scope that the request needs.",
        "Use a key with that scope.",
    ),
    ErrorCode.TOO_MANY_REQUESTS: (
        "The API key sent more requests per minute than its limit.",
        "Wait for the seconds in the Retry-After header.",
    ),
    ErrorCode.QUEUE_FULL: (
        "Too many cutouts are queued: see CUTOUT_MAX_QUEUED.",
        "Wait for the seconds in the Retry-After header, or start more workers.",
    ),
    ErrorCode.IDEMPOTENCY_CONFLICT: (
        "The Idempotency-Key, or the name of a batch, was used before, for something else.",
        "Use a new Idempotency-Key or name for each request or batch.",
    ),
    ErrorCode.NOT_READY: (
        "The result does not exist yet.",
        "Try again later; `status` shows the progress.",
    ),
    ErrorCode.SIGNATURE_REFUSED: (
        "The signature of the notification is wrong, expired, or from an unknown sender.",
        "Check that both sides use the same secret or topic, and that their clocks are right.",
    ),
    ErrorCode.INVALID_EVENT: (
        "The request, or a record of it, is not a notification of a kind that docs/api.md names.",
        "Forward the notification unchanged.",
    ),
}

TEXTS: dict[Group, Texts] = {
    Group.IMAGE: _IMAGE,
    Group.INFRASTRUCTURE: _INFRASTRUCTURE,
    Group.COMMAND: _COMMAND,
    Group.REQUEST: _REQUEST,
}
NEXT_STEP: dict[ErrorCode, str] = {
    code: next_step for texts in TEXTS.values() for code, (_, next_step) in texts.items()
}

INFRASTRUCTURE_CODES = frozenset(_INFRASTRUCTURE)
"""Infrastructure errors: if nearly all recent attempts fail with one, the batch pauses."""
IMAGE_CODES = frozenset(_IMAGE) | {
    # infrastructure errors that are final; an image with any other fails as `exhausted`
    ErrorCode.OBJECT_MISSING,
    ErrorCode.ACCESS_DENIED,
    ErrorCode.INVALID_CREDENTIALS,
    ErrorCode.WRONG_REGION,
    ErrorCode.ENCRYPTION_KEY_REFUSED,
    ErrorCode.INTERNAL_ERROR,
    # what a worker makes of a batch's locations and of its own AWS variables
    ErrorCode.INVALID_LOCATION,
    ErrorCode.INVALID_SETTING,
}
"""Codes that a failed image can have."""
REDIS_CODES = frozenset(
    {ErrorCode.REDIS_UNAVAILABLE, ErrorCode.REDIS_TLS, ErrorCode.REDIS_MAXCLIENTS}
)
"""Errors of the connection to Redis: nothing about a batch can be read or written."""
