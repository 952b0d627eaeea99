"""Compares what two recipes made of the same photographs."""
