"""The app object that `celery ... flower` asks for by name, and what we add to its /metrics."""

from prometheus_client import REGISTRY

from contract.settings import settings
from producer.dispatch.publisher import app as build
from producer.monitoring.metrics import Cluster

app = build()
REGISTRY.register(Cluster(settings().require_redis_url()))
