"""Checks a finished batch image by image."""

from worker.audit.batch import audit

__all__ = ["audit"]
