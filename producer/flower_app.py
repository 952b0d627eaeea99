"""The app object that `celery ... flower` asks for by name, and what we add to its /metrics."""

from prometheus_client import REGISTRY

from contract.settings import settings
from producer.metrics import Cluster
from producer.publish import app as build

app = build()
REGISTRY.register(Cluster(settings().redis_url or ""))
