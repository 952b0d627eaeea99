"""The ledger in memory: the same behaviour as the one in Redis, for tests."""

from contract.ledger.memory.ledger import MemoryLedger

__all__ = ["MemoryLedger"]
