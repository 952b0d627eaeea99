# The worker: Celery and ONNX Runtime, without weights (mount a volume with them at /models).
# docker build -f deploy/worker.Dockerfile -t cutout-worker .

FROM python:3.14-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PATH=/opt/cutout/bin:$PATH
WORKDIR /src
RUN python -m venv /opt/cutout
# dependencies first: they change seldom, so this layer stays cached
COPY deploy/requirements/worker.lock deploy/requirements/worker.lock
RUN pip install --require-hashes --only-binary :all: -r deploy/requirements/worker.lock
COPY pyproject.toml README.md LICENSE ./
COPY contract contract
COPY producer producer
COPY worker worker
RUN pip install --no-deps .

FROM python:3.14-slim-trixie
# a new volume mounted at /models inherits this owner
RUN groupadd --system --gid 10001 cutout \
    && useradd --system --uid 10001 --gid cutout --no-create-home --home-dir /nonexistent cutout \
    && install --directory --owner cutout --group cutout /models
COPY --from=build /opt/cutout /opt/cutout
ENV PATH=/opt/cutout/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENV CUTOUT_MODEL_DIR=/models CUTOUT_STATE_DIR=/tmp/cutout CUTOUT_LOG_FORMAT=json
USER 10001:10001
# SIGTERM is the warm shutdown: images being processed are finished. Allow more than
# CUTOUT_TIME_LIMIT for it.
STOPSIGNAL SIGTERM
# exec form: a shell in between would not pass the signal on
ENTRYPOINT ["cutout"]
CMD ["worker"]
