# Dispatcher, API, Flower and the command line: no ONNX Runtime, NumPy or Pillow.
# docker build -f deploy/producer.Dockerfile -t cutout-producer .

FROM python:3.14-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PATH=/opt/cutout/bin:$PATH
WORKDIR /src
RUN python -m venv /opt/cutout
# dependencies first: they change seldom, so this layer stays cached
COPY deploy/requirements/producer.lock deploy/requirements/producer.lock
RUN pip install --require-hashes --only-binary :all: -r deploy/requirements/producer.lock
COPY pyproject.toml README.md LICENSE ./
COPY contract contract
COPY producer producer
COPY worker worker
RUN pip install --no-deps .

FROM python:3.14-slim-trixie
# a new volume mounted at /keys inherits this owner
RUN groupadd --system --gid 10001 cutout \
    && useradd --system --uid 10001 --gid cutout --no-create-home --home-dir /nonexistent cutout \
    && install --directory --owner cutout --group cutout --mode 700 /keys
COPY --from=build /opt/cutout /opt/cutout
ENV PATH=/opt/cutout/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENV CUTOUT_LOG_FORMAT=json
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["cutout"]
CMD ["dispatch"]
