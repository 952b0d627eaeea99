"""The app object that `celery ... flower` asks for by name."""

from producer.publish import app as build

app = build()
